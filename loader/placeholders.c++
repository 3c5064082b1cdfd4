#include "loader/placeholders.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bpfman {

int Placeholders::makeProbe() {
  if (probe.get() < 0) probe = kj::AutoCloseFd(make({Placeholder::Kind::probe}));
  return fcntl(probe, F_DUPFD_CLOEXEC, 3);
}

int Placeholders::make(const Placeholder& object) {
  int fd = memfd_create("object", MFD_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) return -1;
  byInode[status.st_ino] = object;
  return fd;
}

const Placeholder* Placeholders::find(int fd) const {
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) return nullptr;
  auto found = byInode.find(status.st_ino);
  return found == byInode.end() ? nullptr : &found->second;
}

}  // namespace bpfman
