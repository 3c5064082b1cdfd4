// Starting a child: from our own process to another user, with nothing but the descriptors that schema/broker.h lists.
#pragma once

#include <kj/array.h>
#include <kj/io.h>

#include "broker/privileges.h"

namespace bpfman {

struct ChildSpec {
  const char* name;
  Identity who;
  uint64_t capabilities;
  int binary;            // O_PATH
  unsigned descriptors;  // RLIMIT_NOFILE
  bool forks;            // or starts threads
  int root;              // its root directory; -1: as ours
};

struct Started {
  pid_t pid;
  kj::AutoCloseFd pidfd, log;
};

kj::AutoCloseFd newPair(kj::AutoCloseFd& theirs);  // of connected SOCK_SEQPACKET sockets

// layout: what becomes its descriptors 3, 4, …
Started start(const ChildSpec& spec, int null, kj::ArrayPtr<const int> layout);

}  // namespace bpfman
