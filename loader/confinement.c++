#include "loader/confinement.h"

#include <sys/resource.h>

#include <kj/debug.h>

#include "schema/worker.h"
#include "seccomp/confine.h"
#include "seccomp/landlock.h"

namespace bpfman {

namespace {

constexpr rlim_t MEMORY = 1 << 30, CPU_SECONDS = 60, DESCRIPTORS = 2048, FILE_BYTES = 2 * wire::MAX_BLOB;

void limit(__rlimit_resource resource, rlim_t value) {
  rlimit now;
  KJ_SYSCALL(getrlimit(resource, &now));
  if (now.rlim_max < value) value = now.rlim_max;
  rlimit wanted{value, value};
  KJ_SYSCALL(setrlimit(resource, &wanted));
}

}  // namespace

void limitResources() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their shadow is terabytes of address space
  limit(RLIMIT_AS, MEMORY);
#endif
  limit(RLIMIT_CPU, CPU_SECONDS);
  limit(RLIMIT_NOFILE, DESCRIPTORS);
  limit(RLIMIT_FSIZE, FILE_BYTES);
}

// Sanitizers and coverage need system calls that the policy has no use for.
void confine() {
#ifdef BPFMAN_CONFINED
  restrictFiles(nullptr, 0);
  noCoreDumps();
  enterPolicy(seccomp::WAITING_POLICY);
#endif
}

void confineToLoading() {
#ifdef BPFMAN_CONFINED
  enterPolicy(seccomp::LOADER_POLICY);
#endif
}

void confineToRunning() {
#ifdef BPFMAN_CONFINED
  enterPolicy(seccomp::RUNNER_POLICY);
#endif
}

}  // namespace bpfman
