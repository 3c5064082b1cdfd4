#include "broker/child.h"

#include <fcntl.h>
#include <grp.h>
#include <kj/debug.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

namespace bpfman {

static void bound(uint64_t kept) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    KJ_REQUIRE((kept & bit(capability)) || prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, capability);
}

static void setCapabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half)
    data[half] = {uint32_t(effective >> 32 * half), uint32_t(permitted >> 32 * half), uint32_t(inheritable >> 32 * half)};
  KJ_SYSCALL(syscall(SYS_capset, &header, data));
}

static void become(Identity who, uint64_t capabilities) {
  KJ_REQUIRE(who.uid != 0 && who.gid != 0);
  bound(capabilities);
  KJ_SYSCALL(setgroups(0, nullptr));
  KJ_SYSCALL(setresgid(who.gid, who.gid, who.gid));
  KJ_SYSCALL(prctl(PR_SET_KEEPCAPS, capabilities != 0, 0, 0, 0));
  KJ_SYSCALL(setresuid(who.uid, who.uid, who.uid));
  setCapabilities(capabilities, capabilities, capabilities);
  for (int capability = 0; capability < 64; ++capability)
    KJ_REQUIRE(!(capabilities & bit(capability)) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0, capability);
  KJ_SYSCALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

// Out of the way first, as a source may have the number that another is to get.
static void arrange(int null, int log, kj::ArrayPtr<const int> layout) {
  std::vector<int> sources{null, log, log};
  sources.insert(sources.end(), layout.begin(), layout.end());
  for (int& source : sources) KJ_SYSCALL(source = fcntl(source, F_DUPFD_CLOEXEC, 256));
  for (size_t i = 0; i < sources.size(); ++i) KJ_SYSCALL(dup2(sources[i], i));
  KJ_SYSCALL(close_range(sources.size(), ~0u, CLOSE_RANGE_CLOEXEC));  // not at once: one is the binary
}

// pivot_root wants a mount of this namespace: the working directory moves along into a new one, a descriptor does not.
static void takeRoot(int root, int xdp) {
  auto cloneOf = [](int tree) { return kj::AutoCloseFd(open_tree(tree, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)); };
  KJ_SYSCALL(fchdir(root));
  kj::AutoCloseFd own(open("/proc/self/fd", O_PATH | O_CLOEXEC)), ownClone = cloneOf(own),
                                                                  xdpClone = cloneOf(xdp);  // before they are others'
  KJ_SYSCALL(unshare(CLONE_NEWNS));
  KJ_SYSCALL(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  (void)!move_mount(xdpClone.get(), "", AT_FDCWD, "libxdp", MOVE_MOUNT_F_EMPTY_PATH);  // if it is there
  (void)!move_mount(ownClone.get(), "", AT_FDCWD, "fds", MOVE_MOUNT_F_EMPTY_PATH);
  KJ_SYSCALL(syscall(SYS_pivot_root, ".", "."));
  KJ_SYSCALL(umount2(".", MNT_DETACH));
}

static void limit(__rlimit_resource what, rlim_t most) {
  rlimit now;
  KJ_SYSCALL(getrlimit(what, &now));
  now.rlim_cur = now.rlim_max = kj::min(most, now.rlim_max);
  KJ_SYSCALL(setrlimit(what, &now));
}

[[noreturn]] static void run(const ChildSpec& spec, int null, int log, kj::ArrayPtr<const int> layout, pid_t parent) {
  signal(SIGPIPE, SIG_DFL);  // what is ignored or blocked stays so over exec
  const sigset_t none{};
  KJ_SYSCALL(sigprocmask(SIG_SETMASK, &none, nullptr));
  KJ_SYSCALL(setsid());
  umask(077);
  if (spec.root >= 0) takeRoot(spec.root, spec.xdp);
  KJ_SYSCALL(chdir("/"));
  int binary;
  KJ_SYSCALL(binary = fcntl(spec.binary.get(), F_DUPFD_CLOEXEC, 256));
  arrange(null, log, layout);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, spec.descriptors);
  become(spec.who, spec.capabilities);
  if (!spec.forks) limit(RLIMIT_NPROC, 0);       // after the uid change, which would count it against exec
  KJ_SYSCALL(prctl(PR_SET_PDEATHSIG, SIGKILL));  // likewise: a uid change clears it
  KJ_REQUIRE(getppid() == parent, "the broker is gone");
  char* const arguments[] = {const_cast<char*>(spec.name), nullptr};
  char* const environment[] = {nullptr};
  KJ_SYSCALL(syscall(SYS_execveat, binary, "", arguments, environment, AT_EMPTY_PATH), spec.name);
  KJ_UNREACHABLE;
}

void dropBroker() {
  KJ_SYSCALL(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0));  // uid 0 gives nothing at exec
  bound(BROKER_CAPABILITIES | WORKER_CAPABILITIES);
  setCapabilities(BROKER_CAPABILITIES | WORKER_CAPABILITIES, BROKER_CAPABILITIES, 0);  // nothing to inherit: nothing ambient either
  KJ_SYSCALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

kj::AutoCloseFd newPair(kj::AutoCloseFd& theirs) {
  int pair[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
  theirs = kj::AutoCloseFd(pair[1]);
  return kj::AutoCloseFd(pair[0]);
}

Started start(const ChildSpec& spec, int null, kj::ArrayPtr<const int> layout) {
  int log[2], pidfd;
  KJ_SYSCALL(pipe2(log, O_CLOEXEC));
  kj::AutoCloseFd read(log[0]), write(log[1]);
  KJ_SYSCALL(fcntl(log[0], F_SETFL, O_NONBLOCK));
  pid_t parent = getpid(), pid;
  KJ_SYSCALL(pid = fork());
  if (pid == 0) {
    KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { run(spec, null, log[1], layout, parent); }))
      dprintf(STDERR_FILENO, "can't start: %s\n", exception->getDescription().cStr());
    _exit(127);
  }
  KJ_SYSCALL(pidfd = syscall(SYS_pidfd_open, pid, 0));
  return {pid, kj::AutoCloseFd(pidfd), kj::mv(read)};
}

}  // namespace bpfman
