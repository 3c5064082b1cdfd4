#include "loader/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <memory>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfman {

namespace {

// Of these libbpf reads a file that is there and empty: of the kernel's options none is known, so weak ones are 0; and a probe that it
// would add to find out whether system calls have wrappers is taken: on all kernels that we know they have.
constexpr std::string_view EMPTY[] = {"/proc/config.gz", "/sys/kernel/tracing/kprobe_events"};
constexpr std::string_view KERNEL_BTF = "/sys/kernel/btf/vmlinux", POSSIBLE_CPUS = "/sys/devices/system/cpu/possible";

// A stream with a position of its own over a descriptor that others may share: 6 MB that need no second copy.
struct Cursor {
  int fd;
  off_t at;
};

ssize_t readAt(void* cookie, char* bytes, size_t size) {
  auto* cursor = static_cast<Cursor*>(cookie);
  ssize_t got = pread(cursor->fd, bytes, size, cursor->at);
  if (got > 0) cursor->at += got;
  return got;
}

int seek(void* cookie, off64_t* offset, int whence) {
  auto* cursor = static_cast<Cursor*>(cookie);
  struct stat status;
  if (fstat(cursor->fd, &status) < 0) return -1;
  off_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? cursor->at : status.st_size;
  *offset = cursor->at = base + *offset;
  return 0;
}

int closeCursor(void* cookie) {
  delete static_cast<Cursor*>(cookie);
  return 0;
}

int absent() {
  errno = ENOENT;
  return -1;
}

}  // namespace

int Files::btfAt(const char* path) const {
  return path == KERNEL_BTF ? kernelBtf : std::string_view(path) == OTHER_TYPES ? otherTypes : -1;
}

FILE* Files::openStream(const char* path) const {
  int btf = btfAt(path);
  if (btf < 0) return absent(), nullptr;
  auto cursor = std::make_unique<Cursor>(Cursor{btf, 0});
  FILE* stream = fopencookie(cursor.get(), "r", {readAt, nullptr, seek, closeCursor});
  if (stream) cursor.release();
  return stream;
}

int Files::open(const char* path) const {
  if (int btf = btfAt(path); btf >= 0) {
    lseek(btf, 0, SEEK_SET);
    return fcntl(btf, F_DUPFD_CLOEXEC, 0);
  }
  if (std::ranges::find(EMPTY, path) != std::end(EMPTY)) return memfd_create("empty", MFD_CLOEXEC);
  if (path != POSSIBLE_CPUS || possibleCpus.empty()) return absent();
  int memfd = memfd_create("cpus", MFD_CLOEXEC);
  if (memfd >= 0 && pwrite(memfd, possibleCpus.data(), possibleCpus.size(), 0) < 0) return close(memfd), absent();
  return memfd;
}

int Files::access(const char* path) const { return btfAt(path) >= 0 ? 0 : absent(); }

std::string readPossibleCpus() {
  int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, POSSIBLE_CPUS.data(), O_RDONLY | O_CLOEXEC));
  if (fd < 0) return "0-" + std::to_string(sysconf(_SC_NPROCESSORS_CONF) - 1);
  char text[256];
  ssize_t size = read(fd, text, sizeof text);
  close(fd);
  return {text, static_cast<size_t>(std::max<ssize_t>(size, 0))};
}

}  // namespace bpfman
