// Identities and capabilities, by the system calls themselves.
#pragma once

#include <linux/capability.h>
#include <sys/types.h>

#include <cstdint>

namespace bpfman {

struct Identity {
  uid_t uid;
  gid_t gid;
};

constexpr uint64_t bit(int capability) { return 1ull << capability; }

// A worker's; the broker never makes them effective.
constexpr uint64_t WORKER_CAPABILITIES = bit(CAP_BPF) | bit(CAP_NET_ADMIN) | bit(CAP_PERFMON);
// What starting a child again, and the operations of supervise.c++, need.
constexpr uint64_t BROKER_CAPABILITIES =
    bit(CAP_SYS_ADMIN) | bit(CAP_SETUID) | bit(CAP_SETGID) | bit(CAP_SETPCAP) | bit(CAP_KILL) | bit(CAP_CHOWN);

void dropBroker();                                 // for good, in the broker
void become(Identity who, uint64_t capabilities);  // in a child: groups, uid, capabilities (ambient), no_new_privs

}  // namespace bpfman
