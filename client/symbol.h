// Where a function is in an ELF file: what a uprobe needs. The daemon parses no ELF, so whoever asks for a probe says the place.
#pragma once

#include <kj/string.h>

#include <cstdint>

namespace bpfman {

// Offset in the file of the function's first instruction. An error names file and function.
uint64_t offsetOf(kj::StringPtr path, kj::StringPtr function);

}  // namespace bpfman
