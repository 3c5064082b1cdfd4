#include "broker/house.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace bpfman {

static socklen_t fill(sockaddr_un& address, kj::StringPtr path) {
  address = {AF_UNIX, {}};
  if (path.size() >= sizeof address.sun_path)
    KJ_FAIL_REQUIRE(kj::str(path, " is too long for a socket: at most ", sizeof address.sun_path - 1, " bytes"));
  memcpy(address.sun_path, path.cStr(), path.size());
  return offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1);
}

// If there is none, what is done with it fails.
static kj::AutoCloseFd unixSocket(int type) { return kj::AutoCloseFd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

// The lock is the runtime directory's: with --socket-path somebody else may listen there, and keeps it. The children of a broker that was
// killed end within a second, and are waited for.
kj::AutoCloseFd listenAt(kj::StringPtr path, gid_t group, mode_t mode) {
  sockaddr_un address;
  socklen_t size = fill(address, path);
  struct stat about;
  if (lstat(path.cStr(), &about) == 0) {
    if (!S_ISSOCK(about.st_mode)) KJ_FAIL_REQUIRE(kj::str(path, " is there and is not a socket"));
    auto taken = [&]() {
      return connect(unixSocket(SOCK_STREAM).get(), reinterpret_cast<sockaddr*>(&address), size) == 0 || errno == EAGAIN;
    };
    int tries = 30;
    while (taken() && --tries) usleep(50'000);
    if (tries == 0) KJ_FAIL_REQUIRE(kj::str(path, " is in use: end the process that listens there, or choose another --socket-path"));
    KJ_SYSCALL(unlink(path.cStr()), path);
  }
  auto listener = unixSocket(SOCK_STREAM);
  mode_t before = umask(0777 & ~mode);
  KJ_DEFER(umask(before));
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) != 0)
    KJ_FAIL_REQUIRE(kj::str("can't listen at ", path, ": ", strerror(errno)));
  KJ_SYSCALL(lchown(path.cStr(), 0, group), path);
  KJ_SYSCALL(listen(listener.get(), 128), path);
  return listener;
}

kj::Maybe<kj::AutoCloseFd> takeActivatedSocket() {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (!pid || !count || strtol(pid, nullptr, 10) != getpid()) return nullptr;
  if (strcmp(count, "1")) KJ_FAIL_REQUIRE(kj::str("systemd passed ", count, " sockets; bpfmand takes one"));
  int type = 0, listening = 0;
  sockaddr_un address{};
  socklen_t size = sizeof type, addressSize = sizeof address;
  if (getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
      getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening ||
      getsockname(3, reinterpret_cast<sockaddr*>(&address), &addressSize) != 0 || address.sun_family != AF_UNIX)
    KJ_FAIL_REQUIRE("the socket that systemd passed is not a listening Unix stream socket (ListenStream=/run/bpfman/bpfman.sock)");
  kj::AutoCloseFd listener(fcntl(3, F_DUPFD_CLOEXEC, 32));
  close(3);
  KJ_SYSCALL(fcntl(listener.get(), F_SETFL, fcntl(listener.get(), F_GETFL) | O_NONBLOCK));
  return kj::mv(listener);
}

void tellSystemd(kj::StringPtr notifySocket, kj::StringPtr state) {
  if (notifySocket.size() == 0) return;
  sockaddr_un address;
  socklen_t size = fill(address, notifySocket);
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  auto socket = unixSocket(SOCK_DGRAM);
  (void)!sendto(socket.get(), state.begin(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
}

}  // namespace bpfman
