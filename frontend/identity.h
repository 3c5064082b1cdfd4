// Who is at the other end of a connected Unix socket, as the kernel says. Asked once, before the first byte is read: the answer is
// about whoever connected, and does not change when the socket is handed on.
#pragma once

#include <sys/types.h>

#include <vector>

#include <kj/common.h>
#include <kj/io.h>

namespace bpfman {

struct Caller {
  uid_t uid;
  std::vector<gid_t> gids;  // all of them: primary first, then the supplementary ones, none twice
  pid_t pid;                // for messages only: numbers are reused. 0: in another pid namespace
};

struct Identity {
  Caller caller;
  uid_t peer;                          // who really connected: on a container's socket the caller is fixed, whoever that is
  kj::Maybe<kj::AutoCloseFd> process;  // pidfd, from kernel 6.5 on; keep it as long as the connection. None: too old, or dead
};

Identity identify(int socket);

}  // namespace bpfman
