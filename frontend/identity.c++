#include "frontend/identity.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include <kj/debug.h>

// From Linux 6.5 on; older headers lack it.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace bpfman {
namespace {

// The kernel says how many bytes it needs; the groups of a connected peer never change, so the second try fits.
std::vector<gid_t> groupsOf(int socket) {
  std::vector<gid_t> groups(32);
  for (;;) {
    socklen_t size = groups.size() * sizeof(gid_t);
    int result = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    int error = errno;
    groups.resize(size / sizeof(gid_t));
    if (result == 0) return groups;
    if (error != ERANGE) KJ_FAIL_SYSCALL("getsockopt(SO_PEERGROUPS)", error);
  }
}

void findProcess(int socket, Identity& identity) {
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0 && pidfd >= 0)
    identity.process = kj::AutoCloseFd(pidfd);
  else
    identity.oldKernel = errno == ENOPROTOOPT;
  identity.where.unknown = identity.oldKernel ? "this kernel gives no pidfd of a peer (6.5 does)" : "the process that connected has ended";
}

}  // namespace

Identity identify(int socket) {
  ucred peer;
  socklen_t size = sizeof peer;
  KJ_SYSCALL(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  KJ_REQUIRE(peer.uid != uid_t(-1), "the socket is not connected");
  Identity identity{Caller{peer.uid, {peer.gid}, peer.pid}, peer.uid, nullptr};
  findProcess(socket, identity);
  for (gid_t gid : groupsOf(socket)) {
    auto& gids = identity.caller.gids;
    if (std::ranges::find(gids, gid) == gids.end()) gids.push_back(gid);
  }
  return identity;
}

}  // namespace bpfman
