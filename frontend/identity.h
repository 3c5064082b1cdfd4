// Who is at the other end of a connected Unix socket, as the kernel says. Asked once, before the first byte is read: the answer is
// about whoever connected, and does not change when the socket is handed on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include <kj/common.h>
#include <kj/io.h>

namespace bpfman {

struct Caller {
  uid_t uid;
  std::vector<gid_t> gids;  // all of them: primary first, then the supplementary ones, none twice
  pid_t pid;                // for messages only: numbers are reused. 0: in another pid namespace
  bool foreign = false;     // not shown to be in our user namespace: what makes root there does not count here
};

struct Whereabouts {
  uint64_t cgroup = 0;                               // its id
  uint64_t userNamespace = 0, networkNamespace = 0;  // inodes
  std::string unknown;                               // why all of them are 0
};

struct Identity {
  Caller caller;
  uid_t peer;                          // who really connected: on a container's socket the caller is fixed, whoever that is
  kj::Maybe<kj::AutoCloseFd> process;  // pidfd, from kernel 6.5 on; keep it as long as the connection. None: too old, or dead
  bool oldKernel = false;              // too old
  bool fixed = false;                  // on a container's socket
  Whereabouts where = {};              // of whoever really connected; unknown until frontend/whereabouts.h has looked
};

Identity identify(int socket);

}  // namespace bpfman
