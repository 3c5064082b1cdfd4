// What has a path, and is made, mounted or opened once, at the start: directories, file systems, sockets.
#include "broker/house.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <mntent.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace bpfman {

constexpr decltype(statfs::f_type) BPFFS = 0xcafe4a11, TRACEFS = 0x74726163, CGROUP2 = 0x63677270;  // not all are in magic.h everywhere

// The first of these directories that is of that file system; none: -1.
static kj::AutoCloseFd openFirst(std::initializer_list<const char*> paths, decltype(statfs::f_type) type) {
  struct statfs about;
  for (const char* path : paths) {
    kj::AutoCloseFd fd(open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY));
    if (fstatfs(fd.get(), &about) == 0 && about.f_type == type) return fd;
  }
  return {};
}

static kj::AutoCloseFd orNull(kj::AutoCloseFd fd) { return fd.get() < 0 ? openFile("/dev/null", O_RDONLY) : kj::mv(fd); }

// Only what belonged to the old owner: a link to someone else's file that he left there is not followed, nor given away.
static void giveAll(kj::StringPtr path, uid_t oldOwner, Identity owner) {
  for (auto& entry : std::filesystem::recursive_directory_iterator(path.cStr())) {
    struct stat about;
    KJ_SYSCALL(lstat(entry.path().c_str(), &about));
    KJ_REQUIRE(about.st_uid != oldOwner || lchown(entry.path().c_str(), owner.uid, owner.gid) == 0, path, strerror(errno));
  }
}

static size_t countMounts(kj::StringPtr path) {
  FILE* mounts = setmntent("/proc/self/mounts", "r");
  KJ_DEFER(endmntent(mounts));
  size_t count = 0;
  while (mntent* each = getmntent(mounts)) count += path == each->mnt_dir;
  return count;
}

kj::AutoCloseFd openFile(kj::StringPtr path, int flags) {
  int descriptor = open(path.cStr(), flags | O_CLOEXEC, 0644);
  if (descriptor < 0) KJ_FAIL_REQUIRE(kj::str(path, ": ", strerror(errno)));
  return kj::AutoCloseFd(descriptor);
}

kj::AutoCloseFd openKernelBtf() { return orNull(kj::AutoCloseFd(open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC))); }

kj::AutoCloseFd ownDirectory(kj::StringPtr path, Identity owner, mode_t mode) {
  std::filesystem::create_directories(path.cStr());
  auto directory = openFile(path, O_RDONLY | O_DIRECTORY);
  struct stat about;
  KJ_SYSCALL(fstat(directory.get(), &about), path);
  // The kernel makes some files of its own in each bpffs.
  if (owner.uid != 0 && about.st_uid == 0 && !std::filesystem::is_empty(path.cStr()) && openFirst({path.cStr()}, BPFFS).get() < 0)
    KJ_FAIL_REQUIRE(kj::str(path, " belongs to root and is not empty: is it the right directory?"));
  if (about.st_uid != owner.uid && about.st_uid != 0) giveAll(path, about.st_uid, owner);
  // If it can't be changed, it is only read.
  KJ_REQUIRE((fchown(directory, owner.uid, owner.gid) == 0 && fchmod(directory, mode) == 0) || errno == EROFS, path, strerror(errno));
  return directory;
}

// What is mounted there from our predecessor is kept: its pins are why everything stays attached over a restart.
kj::AutoCloseFd mountBpffs(kj::StringPtr path, Identity owner) {
  KJ_REQUIRE(mkdir(path.cStr(), 0755) == 0 || errno == EEXIST, path, strerror(errno));
  size_t mounts = countMounts(path);
  if (mounts > 1)
    KJ_FAIL_REQUIRE(kj::str(mounts, " file systems are stacked on ", path, ", and any may have the pins: umount it until one is left"));
  if (mounts == 0) { KJ_SYSCALL(mount("bpf", path.cStr(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755"), path); }

  auto root = openFirst({path.cStr()}, BPFFS);
  if (root.get() < 0) KJ_FAIL_REQUIRE(kj::str(path, " has another file system mounted on it than a bpffs: umount ", path));
  ownDirectory(path, owner, 0755);
  for (auto name : {"libxdp", "fds"}) (void)!mkdirat(root.get(), name, 0755);  // where a worker finds openXdp()'s, and its own descriptors
  return root;
}

kj::AutoCloseFd openTracefs() {
  auto mounted = openFirst({"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}, TRACEFS);
  if (mounted.get() >= 0) return mounted;
  kj::AutoCloseFd context(fsopen("tracefs", FSOPEN_CLOEXEC));  // none is there: what is done with it fails
  fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  return orNull(kj::AutoCloseFd(fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)));
}

kj::AutoCloseFd openCgroups() { return orNull(openFirst({"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}, CGROUP2)); }

// Its group stays root's, so that we can still enter it without being its owner: CAP_DAC_OVERRIDE is given up.
kj::AutoCloseFd openXdp(Identity worker) {
  auto root = openFirst({"/sys/fs/bpf"}, BPFFS);
  (void)!mkdirat(root.get(), "xdp", 0700);
  kj::AutoCloseFd directory(openat(root.get(), "xdp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  bool ours = fchmod(directory.get(), 0770) == 0 && fchown(directory.get(), worker.uid, 0) == 0;
  return orNull(ours ? kj::mv(directory) : kj::AutoCloseFd());
}

// ---- sockets ----

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
  if (auto there = std::filesystem::symlink_status(path.cStr()); exists(there)) {
    if (!is_socket(there)) KJ_FAIL_REQUIRE(kj::str(path, " is there and is not a socket"));
    auto connects = [&]() { return connect(unixSocket(SOCK_STREAM).get(), reinterpret_cast<sockaddr*>(&address), size); };
    for (int tries = 30; connects() == 0 || errno == EAGAIN; usleep(50'000))
      if (--tries == 0) KJ_FAIL_REQUIRE(kj::str(path, " is in use: end the process that listens there, or choose another --socket-path"));
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
  socklen_t size = sizeof(int);
  for (auto [option, wanted] : {std::pair{SO_DOMAIN, AF_UNIX}, {SO_TYPE, SOCK_STREAM}, {SO_ACCEPTCONN, 1}})
    if (int found; getsockopt(3, SOL_SOCKET, option, &found, &size) != 0 || found != wanted)
      KJ_FAIL_REQUIRE("the socket that systemd passed is not a listening Unix stream socket (ListenStream=/run/bpfman/bpfman.sock)");
  KJ_SYSCALL(fcntl(3, F_SETFL, fcntl(3, F_GETFL) | O_NONBLOCK));
  return kj::AutoCloseFd(3);
}

void tellSystemd(kj::StringPtr state) {
  const char* notifySocket = getenv("NOTIFY_SOCKET");
  if (!notifySocket) return;
  sockaddr_un address;
  socklen_t size = fill(address, notifySocket);
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  (void)!sendto(unixSocket(SOCK_DGRAM).get(), state.begin(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
}

}  // namespace bpfman
