// The one job of a delegator: one message each way over its SOCK_SEQPACKET job socket.
#pragma once

#include <cstdint>

// clang-format off
namespace bpfman::wire {

// What the kernel asks a token about: BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_BTF_LOAD.
constexpr uint64_t TOKEN_COMMANDS = 1ull << 0 | 1ull << 5 | 1ull << 18;

// One descriptor: what fsopen("bpf") gave in whatever user namespace, nothing done with it yet. It is created then, and tokens that are made
// of it there give what the masks say.
struct Delegation {
  uint64_t commands;                          // bit = one of TOKEN_COMMANDS
  uint64_t mapTypes, programTypes, attachTypes;   // bit = BPF_MAP_TYPE_*, BPF_PROG_TYPE_*, BPF_* attach type, within the ceiling
};

struct Delegated {
  int32_t result;                             // 0 or -errno. -EPERM: above the ceiling. -EOPNOTSUPP: no bpffs, or one that has no tokens. -EBUSY: one
};                                            // that was created already

}  // namespace bpfman::wire
