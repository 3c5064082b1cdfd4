#include "client/client.h"

#include <kj/debug.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace bpfman {
namespace {

// A socket's address holds 107 characters. A longer one is reached through a descriptor of its directory.
struct Address {
  kj::AutoCloseFd directory;
  sockaddr_un address = {};

  Address(kj::StringPtr runtimeDir, kj::StringPtr path) {
    auto name = kj::str(path);
    if (name.size() >= sizeof address.sun_path) {
      int fd = open(runtimeDir.cStr(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (fd >= 0) directory = kj::AutoCloseFd(fd);
      name = kj::str("/proc/self/fd/", fd, "/", SOCKET_NAME);
    }
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name.cStr(), name.size() + 1);
  }
};

[[noreturn]] void explain(int error, kj::StringPtr path) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      fail(kj::str("bpfmand is not running: no socket at ", path, "; start it with 'systemctl start bpfman' or 'bpfman serve'"));
    case EACCES:
    case EPERM: fail(kj::str("permission denied on ", path, ": connecting needs root or a group that may (by default 'bpfman')"));
    case ECONNREFUSED:
      fail(kj::str("bpfmand is not running: nobody answers at ", path, "; start it with 'systemctl start bpfman' or 'bpfman serve'"),
           kj::Exception::Type::DISCONNECTED);
    case EAGAIN:
      fail(kj::str("bpfmand does not accept connections at ", path, ": it is too busy; try again later"), kj::Exception::Type::OVERLOADED);
    default: fail(kj::str("connect to bpfmand at ", path, ": ", strerror(error)));
  }
}

kj::Promise<kj::Own<Connection>> attempt(kj::AsyncIoContext& io, kj::String runtimeDir, kj::TimePoint deadline) {
  auto& timer = io.provider->getTimer();
  try {
    return kj::heap<Connection>(io, runtimeDir);
  } catch (const kj::Exception& exception) {
    bool worthIt = exception.getType() == kj::Exception::Type::DISCONNECTED && timer.now() < deadline;
    if (!worthIt) return kj::cp(exception);
  }
  auto delay = timer.afterDelay(50 * kj::MILLISECONDS);
  return delay.then([&io, runtimeDir = kj::mv(runtimeDir), deadline]() mutable { return attempt(io, kj::mv(runtimeDir), deadline); });
}

}  // namespace

kj::AutoCloseFd connectSocket(kj::StringPtr runtimeDir) {
  auto path = kj::str(runtimeDir, "/", SOCKET_NAME);
  Address address(runtimeDir, path);
  int fd;
  KJ_SYSCALL(fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  kj::AutoCloseFd result(fd);
  timeval wait = {10, 0};
  KJ_SYSCALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait));
  if (connect(fd, reinterpret_cast<sockaddr*>(&address.address), sizeof address.address) < 0) explain(errno, path);
  return result;
}

Connection::Connection(kj::AsyncIoContext& io, kj::StringPtr runtimeDir) : Connection(io, connectSocket(runtimeDir)) {}

Connection::Connection(kj::AsyncIoContext& io, kj::AutoCloseFd connectedSocket)
    : stream(io.lowLevelProvider->wrapUnixSocketFd(kj::mv(connectedSocket))),
      network(*stream, DESCRIPTORS_PER_MESSAGE),
      root(network.bootstrap().castAs<schema::Daemon>()) {}

kj::Promise<kj::Own<Connection>> connectWithin(kj::AsyncIoContext& io, kj::StringPtr runtimeDir, kj::Duration patience) {
  return attempt(io, kj::heapString(runtimeDir), io.provider->getTimer().now() + patience);
}

}  // namespace bpfman
