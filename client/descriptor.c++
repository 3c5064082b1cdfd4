#include "client/descriptor.h"
#include "client/error.h"
#include "schema/sealed.h"

#include <kj/debug.h>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bpfman {
namespace {

class Carrier final : public schema::Descriptor::Server {
 public:
  explicit Carrier(kj::AutoCloseFd descriptor) : descriptor(kj::mv(descriptor)) {}
  kj::Maybe<int> getFd() override { return descriptor.get(); }

 private:
  kj::AutoCloseFd descriptor;
};

// O_NONBLOCK: a path may name a FIFO or a device, which would keep us waiting.
kj::AutoCloseFd openToRead(kj::StringPtr path, kj::StringPtr what) {
  int fd = open(path.cStr(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(kj::str("open ", what, " ", path, ": ", strerror(errno)));
  return kj::AutoCloseFd(fd);
}

}  // namespace

kj::AutoCloseFd sealedMemfd(kj::ArrayPtr<const kj::byte> bytes) {
  int fd;
  KJ_SYSCALL(fd = memfd_create("bpfman-bytecode", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  kj::AutoCloseFd memfd(fd);
  kj::FdOutputStream(fd).write(bytes.begin(), bytes.size());
  wire::seal(fd);
  return memfd;
}

kj::AutoCloseFd bytecodeFrom(kj::StringPtr path) {
  auto file = openToRead(path, "bytecode");
  struct stat status;
  KJ_SYSCALL(fstat(file.get(), &status));
  if (S_ISDIR(status.st_mode)) fail(kj::str("bytecode ", path, " is a directory, not an object file"));
  if (!S_ISREG(status.st_mode)) fail(kj::str("bytecode ", path, " is not a regular file"));

  // The size is taken from what was read, not from fstat: the file may grow meanwhile.
  auto bytes = kj::heapArray<kj::byte>(MAX_BYTECODE + 1);
  size_t size = kj::FdInputStream(file.get()).tryRead(bytes.begin(), bytes.size(), bytes.size());
  if (size == 0) fail(kj::str("bytecode ", path, " is empty"));
  if (size > MAX_BYTECODE) {
    fail(kj::str("bytecode ", path, " is too large: the limit is ", MAX_BYTECODE >> 20, " MiB (", MAX_BYTECODE, " bytes)"));
  }
  return sealedMemfd(bytes.slice(0, size));
}

kj::AutoCloseFd openNetns(kj::StringPtr path) {
  auto netns = openToRead(path, "network namespace");
  if (ioctl(netns.get(), NS_GET_NSTYPE) != CLONE_NEWNET) fail(kj::str(path, " is not a network namespace"));
  return netns;
}

kj::AutoCloseFd openPath(kj::StringPtr path) {
  int fd = open(path.cStr(), O_PATH | O_CLOEXEC);
  if (fd < 0) fail(kj::str("open ", path, ": ", strerror(errno)));
  return kj::AutoCloseFd(fd);
}

kj::AutoCloseFd openProcess(pid_t pid) {
  int fd = syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) fail(kj::str("process ", pid, ": ", errno == ESRCH ? "there is none" : strerror(errno)));
  return kj::AutoCloseFd(fd);
}

schema::Descriptor::Client carry(kj::AutoCloseFd descriptor) { return kj::heap<Carrier>(kj::mv(descriptor)); }

kj::Promise<kj::AutoCloseFd> received(schema::Descriptor::Client carrier) {
  auto promise = carrier.getFd();
  return promise.then([carrier = kj::mv(carrier)](kj::Maybe<int> came) {
    KJ_IF_MAYBE (fd, came) {
      int own;
      KJ_SYSCALL(own = fcntl(*fd, F_DUPFD_CLOEXEC, 0));
      return kj::AutoCloseFd(own);
    }
    fail(kj::str("bpfmand's answer came without its descriptor"));
  });
}

}  // namespace bpfman
