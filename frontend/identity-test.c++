#include "frontend/identity.h"
#include "tests/cannot-run.h"

#include <gtest/gtest.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include <kj/debug.h>

namespace bpfman {
namespace {

// A child that is uid 1234 with these groups connects and waits; what the listener's side says of it is returned.
struct Peer {
  pid_t child;
  kj::AutoCloseFd socket;
  ~Peer() {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
};

Peer connectAs(uid_t uid, gid_t gid, std::vector<gid_t> groups, const char* name) {
  sockaddr_un address{AF_UNIX, {}};
  socklen_t size = offsetof(sockaddr_un, sun_path) + 1 + snprintf(address.sun_path + 1, 90, "%s-%d", name, getpid());
  int listener, accepted;
  KJ_SYSCALL(listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  kj::AutoCloseFd owned(listener);
  KJ_SYSCALL(bind(listener, reinterpret_cast<sockaddr*>(&address), size));
  KJ_SYSCALL(listen(listener, 1));
  pid_t child = fork();
  if (child == 0) {
    int out = socket(AF_UNIX, SOCK_STREAM, 0);
    if (setgroups(groups.size(), groups.data()) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) _exit(1);
    if (connect(out, reinterpret_cast<sockaddr*>(&address), size) < 0) _exit(2);
    for (;;) pause();
  }
  KJ_SYSCALL(accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  return {child, kj::AutoCloseFd(accepted)};
}

TEST(Identity, IsTheUserAndAllGroupsOfWhoConnected) {
  if (getuid() != 0) CANNOT_RUN("needs root, to connect as other users");
  Peer peer = connectAs(1234, 2345, {2345, 7, 8}, "few");
  Identity identity = identify(peer.socket);
  EXPECT_EQ(identity.caller.uid, 1234u);
  EXPECT_EQ(identity.caller.pid, peer.child);
  EXPECT_EQ(identity.caller.gids.front(), 2345u);
  auto gids = identity.caller.gids;
  std::sort(gids.begin(), gids.end());
  EXPECT_EQ(gids, (std::vector<gid_t>{7, 8, 2345}));
}

TEST(Identity, HasAsManyGroupsAsThereAre) {
  if (getuid() != 0) CANNOT_RUN("needs root, to connect as other users");
  std::vector<gid_t> groups(3000);
  std::iota(groups.begin(), groups.end(), 10000);
  Peer peer = connectAs(1234, 5, groups, "many");
  auto gids = identify(peer.socket).caller.gids;
  ASSERT_EQ(gids.size(), 3001u);
  EXPECT_EQ(gids.front(), 5u);
  EXPECT_EQ(gids.back(), 12999u);
}

TEST(Identity, OfSomeoneWithoutSupplementaryGroupsIsHisPrimaryOne) {
  if (getuid() != 0) CANNOT_RUN("needs root, to connect as other users");
  Peer peer = connectAs(1234, 5, {}, "none");
  EXPECT_EQ(identify(peer.socket).caller.gids, std::vector<gid_t>{5});
}

TEST(Identity, KeepsTheProcessWhoseDeathItThenSees) {
  if (getuid() != 0) CANNOT_RUN("needs root, to connect as other users");
  Peer peer = connectAs(1234, 5, {}, "process");
  Identity identity = identify(peer.socket);
  KJ_IF_MAYBE (process, identity.process) {
    pollfd ready{*process, POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, 0), 0);
    kill(peer.child, SIGKILL);
    EXPECT_EQ(poll(&ready, 1, 5000), 1);
  } else {
    CANNOT_RUN("this kernel gives no pidfd of a peer (6.5 does)");
  }
}

TEST(Identity, IsAnErrorForASocketThatIsNotConnected) {
  kj::AutoCloseFd lonely(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THROW(identify(lonely), kj::Exception);
}

}  // namespace
}  // namespace bpfman
