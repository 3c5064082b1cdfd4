// Where a function is in an ELF file: what a uprobe needs. The daemon parses no ELF, so whoever asks for a probe says the place.
#pragma once

#include <kj/string.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bpfman {

// Offset in the file of the function's first instruction, or of the one so many bytes behind it. An error names file and function.
uint64_t offsetOf(kj::StringPtr path, kj::StringPtr function, uint64_t within = 0);

// Those of all functions that match one of the names or patterns (as of file names: * ? []), ascending, each once. An error names the file
// and what matches nothing.
std::vector<uint64_t> offsetsOf(kj::StringPtr path, std::span<const std::string> patterns);

// A user statically-defined tracepoint: where it is, where its semaphore is in the file (0: none), and where its arguments are, as the
// compiler wrote them ("-4@%edi 8@-16(%rbp)").
struct StaticProbe {
  uint64_t offset, semaphore;
  std::string arguments;
};

// All places of PROVIDER:NAME in the file. An error names both.
std::vector<StaticProbe> staticProbesOf(kj::StringPtr path, kj::StringPtr provider, kj::StringPtr name);

}  // namespace bpfman
