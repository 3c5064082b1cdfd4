#include "worker/fuzz-seams.h"

#include "seccomp/confine.h"
#include "tests/fuzz.h"
#include "worker/die.h"

#include <cstdarg>
#include <cerrno>
#include <set>
#include <sys/types.h>

namespace bpfman {

void die(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  throw Died{line};
}

const seccomp::Policy seccomp::SESSION_POLICY{};
void enterPolicy(const seccomp::Policy&) {}

static std::set<pid_t> children;  // that the worker believes to have
static pid_t last = 1 << 30;      // beyond any that exists

}  // namespace bpfman

using namespace bpfman;

extern "C" {

void __wrap__exit(int status) {
  FUZZ_REQUIRE(status == 0);
  throw Left();
}

pid_t __wrap_fork() {
  if (last % 7 == 6) return ++last, errno = EAGAIN, -1;
  children.insert(++last);
  return last;
}

int __wrap_kill(pid_t pid, int) {
  FUZZ_REQUIRE(children.contains(pid), "it kills process %d, which is not its own", pid);
  return 0;
}

pid_t __wrap_waitpid(pid_t pid, int*, int) {
  if (pid == -1) {  // whoever ended by itself: now and then one did
    if (children.empty() || last++ % 5 != 4) return children.empty() ? (errno = ECHILD, -1) : 0;
    pid = *children.begin();
  }
  FUZZ_REQUIRE(children.erase(pid) == 1, "it waits for process %d, which is not its own", pid);
  return pid;
}
}
