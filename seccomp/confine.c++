#include "seccomp/confine.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfman {

void requireConfined(bool succeeded, const char* what) {
  if (succeeded) return;
  dprintf(STDERR_FILENO, "sandbox: %s: %s\n", what, strerror(errno));
  _exit(71);
}

void noCoreDumps() {
  const rlimit none{0, 0};
  requireConfined(setrlimit(RLIMIT_CORE, &none) == 0, "RLIMIT_CORE");
  requireConfined(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "PR_SET_DUMPABLE");
}

#ifdef BPFMAN_SECCOMP_TRAP
static void nameTheCall(int, siginfo_t* info, void*) {
  dprintf(STDERR_FILENO, "sandbox: system call %d is not in the policy\n", info->si_syscall);
  _exit(72);
}
#endif

void enterPolicy(const seccomp::Policy& policy) {
  requireConfined(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs is not set");
#ifdef BPFMAN_SECCOMP_TRAP
  struct sigaction action = {};
  action.sa_sigaction = nameTheCall;
  action.sa_flags = SA_SIGINFO;
  requireConfined(sigaction(SIGSYS, &action, nullptr) == 0, "SIGSYS");
#endif
  sock_fprog program{policy.length, const_cast<sock_filter*>(policy.filter)};
  requireConfined(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0, "seccomp");
}

}  // namespace bpfman
