// What else a client may point at: a cgroup, a binary, a process. Facts only; whether the caller may have it is the policy's to say.
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include <kj/debug.h>

#include "frontend/intake.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {
namespace {

struct PidfdInfo {  // linux/pidfd.h from 6.13 on, as it was first; headers lack it
  uint64_t mask, cgroup;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid, spare;
};
constexpr unsigned long PIDFD_GET_INFO_FIRST = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t PIDFD_PID = 1, PIDFD_CREDENTIALS = 2;
static_assert(sizeof(PidfdInfo) == 64);

// ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, overlayfs, SquashFS, EROFS
constexpr uint64_t LOCAL[] = {0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0x01021994, 0x794c7630, 0x73717368, 0xe0f5e1e2};

// Asks for what is in memory, so no file system has to answer: of one that somebody serves it is what he said last.
bool look(int descriptor, struct statx& status, const char* name = "") {
  int flags = AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
  return statx(descriptor, name, flags, STATX_TYPE | STATX_UID | STATX_INO, &status) == 0;
}

uint64_t deviceOf(const struct statx& status) { return makedev(status.stx_dev_major, status.stx_dev_minor); }

// The text may come from another mount than ours, and a mount may lie anywhere: it counts only if it leads to the same directory here.
std::string pathBelow(int root, int directory, uint64_t inode) {
  std::string text = linkText(directory), prefix = linkText(root);
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  text.erase(0, text.find_first_not_of('/'));
  struct statx found;
  if (!look(root, found, text.empty() ? "." : text.c_str()) || found.stx_ino != inode) return "";
  return "/" + text;
}

}  // namespace

std::string linkText(int descriptor) {
  char text[4096];
  ssize_t size = readlink(kj::str("/proc/self/fd/", descriptor).cStr(), text, sizeof text);
  return std::string(text, std::max<ssize_t>(size, 0));
}

CgroupTarget Intake::cgroup(kj::AutoCloseFd descriptor) const {
  struct statx status;
  if (cgroup2 == 0) refuse("this machine has no cgroup2 hierarchy");
  if (!look(descriptor, status) || deviceOf(status) != cgroup2 || !S_ISDIR(status.stx_mode))
    refuse("the descriptor is not a cgroup: open its directory in cgroup2, such as /sys/fs/cgroup/NAME, with O_PATH");
  auto path = pathBelow(cgroupRoot, descriptor, status.stx_ino);
  return {kj::mv(descriptor), path, status.stx_ino, status.stx_uid};
}

kj::AutoCloseFd Intake::cgroupAt(kj::StringPtr path) const {
  auto below = kj::str('.', path);
  kj::AutoCloseFd directory(openat(cgroupRoot, below.cStr(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory.get() < 0) refuse("cgroup ", path, " is not there");
  return directory;
}

BinaryTarget Intake::binary(kj::AutoCloseFd descriptor) const {
  struct statx status;
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || !(flags & O_PATH) || !look(descriptor, status) || !S_ISREG(status.stx_mode))
    refuse("the descriptor is not a binary: open the program's or library's file with O_PATH");
  return {kj::mv(descriptor), status.stx_uid};
}

bool Intake::isPidfd(int descriptor) const {
  struct statx status;
  return pidfs != 0 && look(descriptor, status) && deviceOf(status) == pidfs;
}

ProcessTarget Intake::process(kj::AutoCloseFd pidfd) const {
  if (pidfs == 0) refuse("one process can't be chosen on this kernel: it needs Linux 6.13 or newer");
  if (!isPidfd(pidfd)) refuse("the descriptor is not a process: open it with pidfd_open()");
  PidfdInfo info{};
  info.mask = PIDFD_PID | PIDFD_CREDENTIALS;
  if (ioctl(pidfd, PIDFD_GET_INFO_FIRST, &info) < 0 || (info.mask & PIDFD_CREDENTIALS) == 0 || info.pid == 0)
    refuse(errno == ESRCH ? "that process has ended" : "one process can't be chosen on this kernel: it needs Linux 6.13 or newer");
  bool one = info.ruid == info.euid && info.euid == info.suid;  // else it has another's rights as well
  return ProcessTarget(kj::mv(pidfd), info.pid, one ? info.ruid : 0);
}

bool Intake::isProgram(int descriptor) { return linkText(descriptor) == "anon_inode:bpf-prog"; }

kj::AutoCloseFd Intake::program(kj::AutoCloseFd descriptor) {
  if (isProgram(descriptor)) return descriptor;
  if (!harmless(descriptor)) aside.close(kj::mv(descriptor));
  refuse("the descriptor is not a program: pass one that BPF_PROG_LOAD, BPF_OBJ_GET (of its pin) or BPF_PROG_GET_FD_BY_ID gave");
}

bool ProcessTarget::alive() const {
  pollfd waiting{pidfd, POLLIN, 0};
  return poll(&waiting, 1, 0) == 0;
}

kj::Promise<void> Intake::requireLocal(const BinaryTarget& binary) {
  if (*asking >= limits::CLOSERS) refuse(kj::Exception::Type::OVERLOADED, kj::str("too many binaries' file systems don't answer"));
  int copy;
  KJ_SYSCALL(copy = fcntl(binary.file, F_DUPFD_CLOEXEC, 3));
  auto answer = kj::newPromiseAndCrossThreadFulfiller<uint64_t>();
  auto fulfiller = std::make_shared<decltype(answer.fulfiller)>(kj::mv(answer.fulfiller));
  ++*asking;
  std::thread([copy, asking = asking, fulfiller] {
    struct statfs status;
    uint64_t type = fstatfs(copy, &status) == 0 ? status.f_type : 0;
    close(copy);
    --*asking;
    (*fulfiller)->fulfill(kj::mv(type));
  }).detach();
  return answer.promise.then([](uint64_t type) {
    if (std::ranges::find(LOCAL, type) == std::end(LOCAL))
      refuse("the binary is on a file system that may not answer (type ", kj::hex(type), "): copy it to a local one");
  });
}

}  // namespace bpfman
