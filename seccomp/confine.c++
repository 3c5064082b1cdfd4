#include "seccomp/confine.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfman {

static void require(bool succeeded, const char* what) {
  if (succeeded) return;
  dprintf(STDERR_FILENO, "sandbox: %s: %s\n", what, strerror(errno));
  _exit(71);
}

void noCoreDumps() {
  const rlimit none{0, 0};
  require(setrlimit(RLIMIT_CORE, &none) == 0, "RLIMIT_CORE");
  require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "PR_SET_DUMPABLE");
}

void restrictFiles(const FileRule* rules, size_t count) {
  int abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return;
  require(abi > 0, "Landlock's version");

  // The kernel's structure as of ABI 6; older kernels take its beginning.
  struct {
    uint64_t files, network, scopes;
  } handled{};
  handled.files = (1ull << (abi == 1 ? 13 : abi == 2 ? 14 : abi < 5 ? 15 : 16)) - 1;
  handled.network = abi < 4 ? 0 : 3;  // bind, connect
  handled.scopes = abi < 6 ? 0 : 3;   // abstract Unix sockets, signals
  int ruleset = syscall(SYS_landlock_create_ruleset, &handled, abi < 4 ? 8 : abi < 6 ? 16 : 24, 0);
  require(ruleset >= 0, "landlock_create_ruleset");
  for (size_t i = 0; i < count; ++i) {
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = rules[i].access & handled.files;
    beneath.parent_fd = rules[i].directoryFd;
    require(syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0, "landlock_add_rule");
  }
  require(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0, "landlock_restrict_self");
  close(ruleset);
}

#ifdef BPFMAN_SECCOMP_TRAP
static void nameTheCall(int, siginfo_t* info, void*) {
  dprintf(STDERR_FILENO, "sandbox: system call %d is not in the policy\n", info->si_syscall);
  _exit(72);
}
#endif

void enterPolicy(const seccomp::Policy& policy) {
  require(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs is not set");
#ifdef BPFMAN_SECCOMP_TRAP
  struct sigaction action {};
  action.sa_sigaction = nameTheCall;
  action.sa_flags = SA_SIGINFO;
  require(sigaction(SIGSYS, &action, nullptr) == 0, "SIGSYS");
#endif
  sock_fprog program{policy.length, const_cast<sock_filter*>(policy.filter)};
  require(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0, "seccomp");
}

}  // namespace bpfman
