// Starting a child: from our own process to another user, with its capabilities and nothing but the descriptors that schema/broker.h
// lists. And what the broker itself keeps.
#pragma once

#include <kj/array.h>
#include <kj/io.h>
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

void dropBroker();  // to BROKER_CAPABILITIES, for good

struct ChildSpec {
  const char *name, *user;  // the user who it becomes, where there is one of this name
  uint64_t capabilities;
  unsigned descriptors;  // RLIMIT_NOFILE
  bool forks;            // or starts threads
  Identity who{};
  kj::AutoCloseFd binary{};  // O_PATH
  int root = -1;             // its root directory; -1: as ours
  int xdp = -1;              // a directory that it finds there as "libxdp"
};

struct Started {
  pid_t pid;
  kj::AutoCloseFd pidfd, log;
};

kj::AutoCloseFd newPair(kj::AutoCloseFd& theirs);  // of connected SOCK_SEQPACKET sockets

// layout: what becomes its descriptors 3, 4, …
Started start(const ChildSpec& spec, int null, kj::ArrayPtr<const int> layout);

}  // namespace bpfman
