// libFuzzer: messages of a frontend to the broker, and children that come and go. The real Supervisor runs; whenever it waits in poll() it
// is our turn. What would start, end or enter something is replaced: functions of child.c++, house.c++ and places.c++ here,
// system calls by the linker's --wrap. Each request is answered once, or its frontend is killed; nothing is touched that was not started
// here.
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <set>
#include <utility>

#include "broker/supervise.h"
#include "tests/fuzz.h"

extern "C" int __real_poll(pollfd* waiting, nfds_t count, int timeout);
extern "C" int __real_openat(int directory, const char* path, int flags, ...);

namespace bpfman {
namespace {

struct Finished {};

struct Living {
  Kind kind;
  bool foreign;
  kj::AutoCloseFd death, log;  // our ends
};

struct Run {
  FuzzInput& input;
  House house{};
  std::map<pid_t, Living> living = {};
  std::set<pid_t> killed = {};
  pid_t last = 1 << 30, frontend = 0;
  kj::AutoCloseFd socket = {};  // the frontend's end
  Clock::time_point now{std::chrono::hours(1)};
  bool elsewhere = false, wellFormed = false, waiting = false, ready = false;
  int signalPipe = -1, steps = 0, descriptors = 0;
  wire::BrokerRequest request{};

  size_t count(Kind kind, bool foreign) const {
    return std::ranges::count_if(living, [&](auto& each) { return each.second.kind == kind && each.second.foreign == foreign; });
  }

  void takeAnswer();
  void send();
  void step();
};

Run* run = nullptr;

kj::AutoCloseFd nothing() { return kj::AutoCloseFd(__real_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC)); }

void Run::takeAnswer() {
  if (!waiting) return;
  waiting = false;
  wire::BrokerReply reply;
  iovec part{&reply, sizeof reply};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
  ssize_t size = socket.get() < 0 ? -1 : recvmsg(socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size <= 0) {
    FUZZ_REQUIRE(!wellFormed || killed.contains(frontend) || !living.contains(frontend), "operation %u has no answer",
                 unsigned(request.op));
    return;
  }
  FUZZ_REQUIRE(wellFormed && size == sizeof reply, "an answer to what is malformed");
  int count = 0;
  if (cmsghdr* header = CMSG_FIRSTHDR(&message)) {
    count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (int i = 0, number; i < count; ++i) {
      memcpy(&number, CMSG_DATA(header) + i * sizeof number, sizeof number);
      close(number);
    }
  }
  constexpr int GIVEN[] = {2, 2, 1, 1, 1, 0, 1, 1};
  static_assert(kj::size(GIVEN) == size_t(wire::BrokerOp::count));
  FUZZ_REQUIRE(count == (reply.result == 0 ? GIVEN[unsigned(request.op)] : 0), "%d descriptors", count);
  FUZZ_REQUIRE(reply.result <= 0 && (reply.result == -EAGAIN) == (reply.delayMilliseconds != 0) && reply.delayMilliseconds <= 5000);
}

void Run::send() {
  constexpr const char* WORDS[] = {"sched", "sched_switch", "", "..", "a/b", "events"};
  request = {};
  uint8_t odd = input.byte();
  request.op = wire::BrokerOp(odd & 1 ? input.byte() : input.byte() % uint8_t(wire::BrokerOp::count));
  strcpy(request.group, input.pick(WORDS)), strcpy(request.name, input.pick(WORDS));
  if (odd & 2) input.fill(request.name, input.below(sizeof request.name + 1));
  if (odd & 4) request.policyTaken = input.byte() % 3;
  if (odd & 32) request.where = input.take<uint64_t>(), request.returns = input.byte() % 3, request.pid = input.take<int32_t>();
  if (odd & 64) request.frequent = input.byte() % 3, request.cpu = input.take<int32_t>();
  request.kind = wire::EventKind(input.byte() % (uint8_t(wire::EventKind::count) + 1));
  size_t size = odd & 8 ? input.byte() * 2 : sizeof request;
  descriptors = odd & 16 ? input.byte() % 4 : 0;

  uint8_t bytes[512] = {};
  memcpy(bytes, &request, sizeof request);
  iovec part{bytes, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)] = {};
  msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
  if (descriptors > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors);
    *CMSG_FIRSTHDR(&message) = {CMSG_LEN(sizeof(int) * descriptors), SOL_SOCKET, SCM_RIGHTS};
    for (int i = 0, number = house.null.get(); i < descriptors; ++i)
      memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)) + i * sizeof number, &number, 4);
  }
  if (sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return;
  waiting = true;
  bool event = request.op == wire::BrokerOp::openEvent, worker = request.op == wire::BrokerOp::startWorker;
  bool said = request.policyTaken <= (request.op == wire::BrokerOp::ready),
       takes = worker || (event && request.kind == wire::EventKind::uprobe);
  bool right = request.kind < wire::EventKind::count && request.returns <= 1 && request.frequent <= 1 && request.pid >= 0 &&
               request.cpu >= -1 && !request.group[63] && !request.name[127];
  wellFormed = size == sizeof request && said && request.op < wire::BrokerOp::count && (!event || right) && descriptors <= takes;
  if (request.op == wire::BrokerOp::ready) wellFormed &= !std::exchange(ready, ready || wellFormed);
}

// One thing happens.
void Run::step() {
  if (input.empty() || ++steps > 200) throw Finished();
  uint8_t what = input.byte();
  switch (what % 8) {
    case 0:
      if (!living.empty()) {  // a child dies
        auto child = std::next(living.begin(), input.below(living.size()));
        uint64_t one = 1;
        FUZZ_REQUIRE(write(child->second.death.get(), &one, sizeof one) == sizeof one);
      }
      break;
    case 1:
      if (!living.empty()) {  // it says something
        auto child = std::next(living.begin(), input.below(living.size()));
        auto words = input.bytes(input.byte());
        (void)!write(child->second.log.get(), words.data(), words.size());
      }
      break;
    case 2: now += milliseconds(input.take<uint16_t>()); break;
    case 3:
      if (what >= 0xe0) {
        signalfd_siginfo info{};
        info.ssi_signo = what & 8 ? SIGHUP : SIGTERM;
        FUZZ_REQUIRE(write(signalPipe, &info, sizeof info) == sizeof info);
      } else if (what >= 0xc0) {
        socket = nullptr;
      }
      break;
    default:
      if (socket.get() >= 0) send();
  }
}

}  // namespace

// ---- instead of child.c++, house.c++ and places.c++ ----

kj::AutoCloseFd newPair(kj::AutoCloseFd& theirs) {
  int pair[2];
  FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  theirs = kj::AutoCloseFd(pair[1]);
  return kj::AutoCloseFd(pair[0]);
}

Started start(const ChildSpec& spec, int, kj::ArrayPtr<const int> layout) {
  bool worker = !strcmp(spec.name, "bpfman-worker"), loader = !strcmp(spec.name, "bpfman-loader"),
       delegator = !strcmp(spec.name, "bpfman-delegator");
  FUZZ_REQUIRE((spec.capabilities == WORKER_CAPABILITIES) == worker && (spec.capabilities == bit(CAP_SYS_ADMIN)) == delegator &&
               (spec.capabilities == 0) == !(worker || delegator) && (spec.root >= 0) == worker);
  FUZZ_REQUIRE(spec.who.uid != 0 && layout.size() == (worker || delegator ? 2u : loader ? 3u : 11u));
  for (int descriptor : layout) FUZZ_REQUIRE(fcntl(descriptor, F_GETFD) >= 0);
  Kind kind = worker ? Kind::worker : loader ? Kind::loader : delegator ? Kind::delegator : Kind::frontend;
  FUZZ_REQUIRE(run->elsewhere ? worker : true);
  Living living{kind, run->elsewhere, {}, {}};
  pid_t pid = ++run->last;
  if (kind == Kind::frontend) {
    FUZZ_REQUIRE(run->living.empty(), "a frontend beside children of the one before");
    run->socket = kj::AutoCloseFd(dup(layout[0]));
    run->frontend = pid;
    run->waiting = run->ready = false;
  }
  int log[2];
  FUZZ_REQUIRE(pipe2(log, O_CLOEXEC | O_NONBLOCK) == 0);
  kj::AutoCloseFd death(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), read(log[0]);
  living.death = kj::AutoCloseFd(dup(death.get()));
  living.log = kj::AutoCloseFd(log[1]);
  run->living.emplace(pid, kj::mv(living));
  FUZZ_REQUIRE(run->count(Kind::worker, false) <= 4 && run->count(Kind::worker, true) <= 32 && run->count(Kind::loader, false) <= 64 &&
               run->count(Kind::delegator, false) <= 8);
  return {pid, kj::mv(death), kj::mv(read)};
}

void House::readPolicy() { policy = nothing(); }
void House::keepPolicy() { keptPolicy = nothing(); }
kj::AutoCloseFd openFile(kj::StringPtr, int) { return nothing(); }
kj::AutoCloseFd openKernelBtf() { return nothing(); }
void tellSystemd(kj::StringPtr) {}

}  // namespace bpfman

using namespace bpfman;

extern "C" {

int __wrap_poll(pollfd* waiting, nfds_t count, int timeout) {
  if (count == 1) return 0;  // whether the log can be written: it can't, and its lines are lost
  FUZZ_REQUIRE(!run->elsewhere, "it waits in a client's network namespace");
  run->takeAnswer();
  if (timeout == 10) run->now += milliseconds(10);
  run->step();
  return __real_poll(waiting, count, 0);
}

int __wrap_openat(int directory, const char* path, int, ...) {
  std::string text = path;
  if (directory == run->house.xdp.get() && text == ".") return errno = ENOTDIR, -1;  // BrokerOp::shareXdp: this host has no such directory
  FUZZ_REQUIRE(directory == run->house.tracefs.get() && text.starts_with("events/") && text.ends_with("/id"), "%s", path);
  FUZZ_REQUIRE(std::ranges::count(text, '/') == 3 && text.find('.') == std::string::npos && text.find("//") == std::string::npos, "%s",
               path);
  if (text != "events/sched/sched_switch/id") return errno = ENOENT, -1;
  return memfd_create("id", MFD_CLOEXEC);
}

// perf_event_open, or bpf(2): an object by its id, and then what it is, which is left unsaid.
long __wrap_syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long first = va_arg(arguments, long);
  auto* attr = va_arg(arguments, bpf_attr*);
  va_end(arguments);
  if (number == SYS_bpf && static_cast<int>(first) == BPF_BTF_GET_NEXT_ID) {
    if (attr->start_id == 3) return errno = ENOENT, -1;
    attr->next_id = attr->start_id + 1;
    return 0;
  }
  return number == SYS_bpf && static_cast<int>(first) == BPF_OBJ_GET_INFO_BY_FD ? 0 : eventfd(0, EFD_CLOEXEC);
}
int __wrap_setns(int descriptor, int) {
  bool home = descriptor == run->house.hostNetwork.get();
  FUZZ_REQUIRE(home == run->elsewhere);
  if (!home && run->input.rarely()) return errno = EINVAL, -1;
  run->elsewhere = !home;
  return 0;
}

int __wrap_kill(pid_t pid, int signal) {
  auto child = run->living.find(pid);
  FUZZ_REQUIRE(child != run->living.end(), "it kills process %d, which is not its own", pid);
  if (signal == SIGKILL) run->killed.insert(pid);
  uint64_t one = 1;
  if (signal == SIGKILL || run->input.byte() % 4) (void)!write(child->second.death.get(), &one, sizeof one);
  return 0;
}

pid_t __wrap_waitpid(pid_t pid, int* status, int) {
  *status = run->input.byte() & 1 ? SIGKILL : 0;
  FUZZ_REQUIRE(run->living.erase(pid) == 1, "it waits for process %d, which is not its own", pid);
  if (pid == run->frontend) run->socket = nullptr;
  return pid;
}

int __wrap_signalfd(int, const sigset_t*, int) {
  int ends[2];
  FUZZ_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  run->signalPipe = ends[1];
  return ends[0];
}
int __wrap_sigprocmask(int, const sigset_t*, sigset_t*) { return 0; }
}

Clock::time_point nowOfTheRun() __asm__("__wrap__ZNSt6chrono3_V212steady_clock3nowEv");
Clock::time_point nowOfTheRun() { return run->now; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  OpenDescriptors descriptors;
  {
    FuzzInput input(data, size);
    Run current{input};
    run = &current;
    House& house = current.house;
    for (uid_t uid = 1001; auto& child : house.children) child.who = {uid, uid}, child.binary = nothing(), ++uid;
    for (auto field : {&House::null, &House::bpffs, &House::stateDir, &House::programsDir, &House::policy, &House::tracefs, &House::cgroups,
                       &House::hostNetwork, &House::ceiling, &House::frontendOptions})
      house.*field = nothing();
    house.uprobe.number = house.kprobe.number = 8;
    house.children[1].root = house.bpffs.get();
    house.listeners.push_back(nothing());
    try {
      Supervisor supervisor(house);
      supervisor.startFrontend();
      supervisor.run();
    } catch (const Finished&) {}
    close(current.signalPipe);
  }
  descriptors.tidy(false);
  return 0;
}
