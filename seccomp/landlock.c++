#include "seccomp/landlock.h"

#include <cerrno>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp/confine.h"

namespace bpfman {

void restrictFiles(const FileRule* rules, size_t count) {
  int abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return;
  requireConfined(abi > 0, "Landlock's version");

  // The kernel's structure as of ABI 6; older kernels take its beginning.
  struct {
    uint64_t files, network, scopes;
  } handled{};
  handled.files = (1ull << (abi == 1 ? 13 : abi == 2 ? 14 : abi < 5 ? 15 : 16)) - 1;
  handled.network = abi < 4 ? 0 : 3;  // bind, connect
  handled.scopes = abi < 6 ? 0 : 3;   // abstract Unix sockets, signals
  int ruleset = syscall(SYS_landlock_create_ruleset, &handled, abi < 4 ? 8 : abi < 6 ? 16 : 24, 0);
  requireConfined(ruleset >= 0, "landlock_create_ruleset");
  for (size_t i = 0; i < count; ++i) {
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = rules[i].access & handled.files;
    beneath.parent_fd = rules[i].directoryFd;
    requireConfined(syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0, "landlock_add_rule");
  }
  requireConfined(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0, "landlock_restrict_self");
  close(ruleset);
}

}  // namespace bpfman
