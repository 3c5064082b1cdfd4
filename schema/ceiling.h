// The ceiling: from root's configuration through the broker to the worker, once, in a sealed memfd. It bounds what the worker does
// whatever the frontend asks for.
#pragma once

#include <cstdint>

// clang-format off
namespace bpfman::wire {

constexpr uint32_t MAX_PROGRAMS = 64;         // in one load
constexpr uint32_t MAX_MAPS = 256;            // in one load

struct Ceiling {
  uint64_t programTypes;                      // bit = BPF_PROG_TYPE_*
  uint64_t attachTypes[2];                    // bit = BPF_* attach type
  uint64_t mapTypes;                          // bit = BPF_MAP_TYPE_*
  uint64_t refusedHelpers[8];                 // bit = BPF_FUNC_* that no program may call
  uint64_t maxMapBytes;                       // of one load, per-CPU values counted once per possible CPU
  uint32_t maxMaps;                           // of one load
  uint32_t maxPrograms;                       // of one load
  uint32_t maxSessions;                       // at once
  uint32_t possibleCpus;                      // as the kernel counts them, for maxMapBytes
};

}  // namespace bpfman::wire
