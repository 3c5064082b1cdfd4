// The first look at the bytecode: is it an ELF object for this machine's BPF at all? What it says is for people; libbpf looks again.
#pragma once

#include <span>

namespace bpfman {

void requireBpfObject(std::span<const unsigned char> object);  // or throws a Refusal

}  // namespace bpfman
