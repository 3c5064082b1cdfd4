// A worker for tests/crash_test.py, built like the product's but for its Bpf: each step, that is each bpf(2) command and each operation
// on a file of the bpffs, by the worker and by its sessions, has a number. Told to by a signal, it names its steps in its log and stops at
// one of them until it is told to go on, or killed. Nothing else can reach it: it is confined like the real one.
//
//   sigqueue(SIGUSR1, N > 0)   counts from here, and stops at the Nth point
//   sigqueue(SIGUSR1, 0)       goes on, and counts no longer
#include <linux/bpf.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <type_traits>

#include "worker/die.h"
#include "worker/operations.h"

namespace bpfman {

namespace {

struct Shared {
  std::atomic<int> stopAt, point;  // of the worker and all its sessions: one of them works at a time
};
Shared* shared;

void hear(int, siginfo_t* heard, void*) {
  shared->point = 0;
  shared->stopAt = heard->si_value.sival_int;
  (void)!write(STDERR_FILENO, "heard\n", 6);
}

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  (void)!write(STDERR_FILENO, line, size);
}

// Before each step, and after it if it changed something: who dies before the answer, and who dies before the deed.
class StepBpf final : public Bpf {
 public:
  long call(int command, bpf_attr& attr, uint32_t size) override {
    switch (command) {
      case BPF_MAP_CREATE: return change("BPF_MAP_CREATE", attr.map_name, "", [&] { return real.call(command, attr, size); });
      case BPF_PROG_LOAD: return change("BPF_PROG_LOAD", attr.prog_name, "", [&] { return real.call(command, attr, size); });
      case BPF_BTF_LOAD: return change("BPF_BTF_LOAD", "", "", [&] { return real.call(command, attr, size); });
      case BPF_MAP_UPDATE_ELEM: return change("BPF_MAP_UPDATE_ELEM", "", "", [&] { return real.call(command, attr, size); });
      case BPF_MAP_DELETE_ELEM: return change("BPF_MAP_DELETE_ELEM", "", "", [&] { return real.call(command, attr, size); });
      case BPF_MAP_FREEZE: return change("BPF_MAP_FREEZE", "", "", [&] { return real.call(command, attr, size); });
      case BPF_PROG_BIND_MAP: return change("BPF_PROG_BIND_MAP", "", "", [&] { return real.call(command, attr, size); });
      case BPF_LINK_CREATE: return change("BPF_LINK_CREATE", "", "", [&] { return real.call(command, attr, size); });
      case BPF_LINK_UPDATE: return change("BPF_LINK_UPDATE", "", "", [&] { return real.call(command, attr, size); });
      case BPF_LINK_DETACH: return change("BPF_LINK_DETACH", "", "", [&] { return real.call(command, attr, size); });
      case BPF_RAW_TRACEPOINT_OPEN: return change("BPF_RAW_TRACEPOINT_OPEN", "", "", [&] { return real.call(command, attr, size); });
      case BPF_OBJ_PIN: return change("BPF_OBJ_PIN", path(attr), "", [&] { return real.call(command, attr, size); });
      case BPF_OBJ_GET: return look("BPF_OBJ_GET", path(attr), [&] { return real.call(command, attr, size); });
      case BPF_OBJ_GET_INFO_BY_FD: return look("BPF_OBJ_GET_INFO_BY_FD", "", [&] { return real.call(command, attr, size); });
      case BPF_PROG_QUERY: return look("BPF_PROG_QUERY", "", [&] { return real.call(command, attr, size); });
      case BPF_ITER_CREATE: return look("BPF_ITER_CREATE", "", [&] { return real.call(command, attr, size); });
      case BPF_MAP_LOOKUP_ELEM: return look("BPF_MAP_LOOKUP_ELEM", "", [&] { return real.call(command, attr, size); });
      case BPF_MAP_GET_NEXT_KEY: return look("BPF_MAP_GET_NEXT_KEY", "", [&] { return real.call(command, attr, size); });
    }
    // A command that is new in the product gets a name above: until then its number is a step that the reviewed list does not have.
    return change("bpf command", std::to_string(command).c_str(), "", [&] { return real.call(command, attr, size); });
  }
  int makeDirectory(const char* path) override {
    return change("mkdir", path, "", [&] { return real.makeDirectory(path); });
  }
  int removeDirectory(const char* path) override {
    return change("rmdir", path, "", [&] { return real.removeDirectory(path); });
  }
  int route(const void* message, uint32_t size) override {
    return change("rtnetlink", "", "", [&] { return real.route(message, size); });
  }
  int unlink(const char* path) override {
    return change("unlink", path, "", [&] { return real.unlink(path); });
  }
  int renameNew(const char* from, const char* to) override {
    return change("rename", from, to, [&] { return real.renameNew(from, to); });
  }
  int list(const char* path, std::vector<std::string>& names) override {
    return look("list", path, [&] { return real.list(path, names); });
  }

 private:
  RealBpf real;

  static const char* path(const bpf_attr& attr) { return reinterpret_cast<const char*>(attr.pathname); }

  static void pass(const char* when, const char* what, const char* first, const char* second) {
    if (shared->stopAt == 0) return;
    int point = ++shared->point;
    say("point %d: %s %s %s %s\n", point, when, what, first, second);
    while (shared->stopAt == point) poll(nullptr, 0, 1);
  }
  template <typename Do>
  std::invoke_result_t<Do> look(const char* what, const char* first, Do&& step) {
    pass("before", what, first, "");
    return step();
  }
  template <typename Do>
  std::invoke_result_t<Do> change(const char* what, const char* first, const char* second, Do&& step) {
    pass("before", what, first, second);
    auto result = step();
    pass("after", what, first, second);
    return result;
  }
};

}  // namespace

}  // namespace bpfman

int main() {
  using namespace bpfman;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("no memory");
  shared = new (memory) Shared{};
  using Action = struct sigaction;
  Action action{};
  action.sa_sigaction = hear;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  StepBpf kernel;
  return runWorker(kernel);
}
