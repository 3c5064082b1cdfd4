#include "broker/house.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace bpfman {

namespace {

constexpr decltype(statfs::f_type) BPFFS = 0xcafe4a11, TRACEFS = 0x74726163, CGROUP2 = 0x63677270;  // not all are in magic.h everywhere

kj::Maybe<kj::AutoCloseFd> openIf(kj::StringPtr path, decltype(statfs::f_type) type, int flags) {
  kj::AutoCloseFd fd(open(path.cStr(), flags | O_CLOEXEC | O_DIRECTORY));
  struct statfs about;
  if (fstatfs(fd.get(), &about) != 0 || about.f_type != type) return nullptr;
  return kj::mv(fd);
}

// Only what belonged to the old owner: a link to someone else's file that he left there is not followed, nor given away.
void giveAll(kj::StringPtr path, uid_t oldOwner, Identity owner) {
  for (auto& entry : std::filesystem::recursive_directory_iterator(path.cStr())) {
    struct stat about;
    KJ_SYSCALL(lstat(entry.path().c_str(), &about));
    KJ_REQUIRE(about.st_uid != oldOwner || lchown(entry.path().c_str(), owner.uid, owner.gid) == 0, path, strerror(errno));
  }
}

// How many file systems are stacked there: mountinfo's fifth field.
size_t countMounts(kj::StringPtr path) {
  std::ifstream mounts("/proc/self/mountinfo");
  size_t count = 0;
  char point[4097];
  for (std::string line; std::getline(mounts, line);) count += sscanf(line.c_str(), "%*s %*s %*s %*s %4096s", point) == 1 && path == point;
  return count;
}

void giveTo(int directory, kj::StringPtr path, Identity owner, mode_t mode) {
  struct stat about;
  KJ_SYSCALL(fstat(directory, &about), path);
  if (about.st_uid != owner.uid && about.st_uid != 0) giveAll(path, about.st_uid, owner);
  KJ_REQUIRE(fchown(directory, owner.uid, owner.gid) == 0 || errno == EROFS, path, strerror(errno));  // then it is only read
  KJ_REQUIRE(fchmod(directory, mode) == 0 || errno == EROFS, path, strerror(errno));
}

}  // namespace

kj::AutoCloseFd openFile(kj::StringPtr path, int flags) {
  int descriptor = open(path.cStr(), flags | O_CLOEXEC, 0644);
  if (descriptor < 0) KJ_FAIL_REQUIRE(kj::str(path, ": ", strerror(errno)));
  return kj::AutoCloseFd(descriptor);
}

kj::AutoCloseFd openKernelBtf() {
  int descriptor = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
  return descriptor < 0 ? openFile("/dev/null", O_RDONLY) : kj::AutoCloseFd(descriptor);
}

kj::AutoCloseFd ownDirectory(kj::StringPtr path, Identity owner, mode_t mode) {
  for (size_t i = 1; i < path.size(); ++i)
    if (path[i] == '/') (void)!mkdir(kj::str(path.slice(0, i)).cStr(), 0755);  // parents; what matters is whether the last one succeeds
  if (mkdir(path.cStr(), 0700) != 0 && errno != EEXIST) KJ_FAIL_REQUIRE(kj::str("can't make ", path, ": ", strerror(errno)));
  auto directory = openFile(path, O_RDONLY | O_DIRECTORY);
  struct stat about;
  KJ_SYSCALL(fstat(directory.get(), &about), path);
  if (owner.uid != 0 && about.st_uid == 0 && !std::filesystem::is_empty(path.cStr()))
    KJ_FAIL_REQUIRE(kj::str(path, " belongs to root and is not empty: is it the right directory?"));
  giveTo(directory.get(), path, owner, mode);
  return directory;
}

// What is mounted there from our predecessor is kept: its pins are why everything stays attached over a restart.
kj::AutoCloseFd mountBpffs(kj::StringPtr path, Identity owner) {
  KJ_REQUIRE(mkdir(path.cStr(), 0755) == 0 || errno == EEXIST, path, strerror(errno));
  size_t mounts = countMounts(path);
  if (mounts > 1)
    KJ_FAIL_REQUIRE(kj::str(mounts, " file systems are stacked on ", path, ": we can't know which one has the pins; umount ", path,
                            " until one is left"));
  if (mounts == 0) { KJ_SYSCALL(mount("bpf", path.cStr(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755"), path); }

  KJ_IF_MAYBE (root, openIf(path, BPFFS, O_RDONLY)) {
    (void)!mkdirat(root->get(), "libxdp", 0755);  // where a worker finds openXdp()'s
    giveTo(root->get(), path, owner, 0755);
    return kj::mv(*root);
  }
  KJ_FAIL_REQUIRE(kj::str(path, " has another file system mounted on it than a bpffs: umount ", path));
}

kj::AutoCloseFd openTracefs() {
  for (kj::StringPtr path : {kj::StringPtr("/sys/kernel/tracing"), kj::StringPtr("/sys/kernel/debug/tracing")})
    KJ_IF_MAYBE (mounted, openIf(path, TRACEFS, O_RDONLY)) return kj::mv(*mounted);
  kj::AutoCloseFd context(fsopen("tracefs", FSOPEN_CLOEXEC));
  if (context.get() >= 0 && fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
    if (int detached = fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC); detached >= 0)
      return kj::AutoCloseFd(detached);
  return openFile("/dev/null", O_RDONLY);
}

kj::AutoCloseFd openCgroups() {
  for (kj::StringPtr path : {kj::StringPtr("/sys/fs/cgroup"), kj::StringPtr("/sys/fs/cgroup/unified")})
    KJ_IF_MAYBE (mounted, openIf(path, CGROUP2, O_RDONLY)) return kj::mv(*mounted);
  return openFile("/dev/null", O_RDONLY);
}

// Its group stays root's, so that we can still enter it without being its owner: CAP_DAC_OVERRIDE is given up.
kj::AutoCloseFd openXdp(Identity worker) {
  KJ_IF_MAYBE (root, openIf("/sys/fs/bpf", BPFFS, O_RDONLY)) {
    (void)!mkdirat(root->get(), "xdp", 0700);
    kj::AutoCloseFd directory(openat(root->get(), "xdp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory.get() >= 0 && fchmod(directory.get(), 0770) == 0 && fchown(directory.get(), worker.uid, 0) == 0) return directory;
  }
  return openFile("/dev/null", O_RDONLY);
}

}  // namespace bpfman
