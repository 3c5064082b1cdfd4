// Global variables of an object, as its BTF lists them, before it is loaded.
#pragma once

#include <span>
#include <string>

#include <bpf/libbpf.h>

namespace bpfman {

// Exactly as many bytes as the variable has, or throws a Refusal that names what there is.
void setGlobal(const bpf_object* object, const std::string& name, std::span<const unsigned char> value);

}  // namespace bpfman
