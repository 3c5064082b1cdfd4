// The values of a variable, of the type that the object's BTF gives it, as JSON. Both were written by somebody whom nobody trusts: types
// that don't fit the variable's bytes, or that lead round in a circle, are refused.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <bpf/btf.h>

namespace bpfman {

// Writes what `json` names into `value`, and sets the bits of `mask`, of the same size, that it wrote. Throws a Refusal that begins with
// the variable's name; then both are undefined.
void writeJson(const btf* types, uint32_t type, const std::string& name, const std::string& json, std::span<unsigned char> value,
               std::span<unsigned char> mask);

// `value` as JSON that writeJson takes, on one line, in at most `room` bytes; "" when that can't be. What has no JSON (pointers, unions) is
// null.
std::string readJson(const btf* types, uint32_t type, std::span<const unsigned char> value, size_t room);

}  // namespace bpfman
