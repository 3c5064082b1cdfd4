#include "broker/supervise.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bpfman {

constexpr milliseconds FIRST_DELAY(50), LONGEST_DELAY(5000), LONG_LIFE(10000), GRACE(1000), TICK(10);
constexpr size_t LONGEST_LINE = 8 << 10;

// Never waits for whoever reads our log: a line is lost rather than a child's death unseen.
static void writeLine(kj::StringPtr name, pid_t pid, const std::string& text) {
  auto line = kj::str(name, '[', pid, "]: ", text.c_str(), '\n');
  pollfd writable{STDERR_FILENO, POLLOUT, 0};
  if (poll(&writable, 1, 0) == 1) (void)!write(STDERR_FILENO, line.begin(), line.size());
}

static int openSignals() {
  sigset_t set{};
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  KJ_SYSCALL(sigprocmask(SIG_BLOCK, &set, nullptr));
  int descriptor;
  KJ_SYSCALL(descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  signal(SIGPIPE, SIG_IGN);
  return descriptor;
}

void Patience::died(Clock::duration lived, bool well) {
  quickDeaths = well || lived >= LONG_LIFE ? 0 : quickDeaths + 1;
  uint32_t doubled = kj::min(quickDeaths - kj::min(quickDeaths, forgiven), 16u);
  until = Clock::now() + (doubled == 0 ? milliseconds(0) : std::min(LONGEST_DELAY, FIRST_DELAY * (1 << (doubled - 1))));
}

milliseconds Patience::left() const { return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(until - Clock::now())); }

// Its words are not trusted: no control characters, no endless lines, and our prefix in front of each.
void Child::drainLog() {
  char buffer[4096];
  for (int rounds = 0; rounds < 16; ++rounds) {
    ssize_t size = read(started.log.get(), buffer, sizeof buffer);
    if (size == 0) started.log = nullptr;
    if (size <= 0) return;
    for (char c : kj::arrayPtr(buffer, size)) {
      if (c == '\n') {
        writeLine(name, started.pid, line);
        line.clear();
      } else if (line.size() < LONGEST_LINE) {
        line += c >= ' ' && c <= '~' ? c : c == '\t' ? ' ' : '?';
      }
    }
  }
}

Supervisor::Supervisor(House& house)
    : house(house),
      patience{{Kind::frontend, {0}}, {Kind::worker, {4}}, {Kind::loader, {4}}, {Kind::delegator, {4}}},
      signals(openSignals()) {}

size_t Supervisor::count(Kind kind, bool foreign) const {
  return std::ranges::count_if(children, [&](auto& each) { return each.second.kind == kind && each.second.foreign == foreign; });
}

void Supervisor::startChild(Kind kind, bool foreign, kj::ArrayPtr<const int> layout) {
  const ChildSpec& spec = house.children[static_cast<int>(kind)];
  auto started = start(spec, house.null.get(), layout);
  pid_t pid = started.pid;
  children.emplace(pid, Child{kind, spec.name, foreign, Clock::now(), kj::mv(started), {}});
  if (kind == Kind::frontend) frontend = pid;
}

// What it reads from the start is opened again for each: a descriptor's position outlives its process. Whether the policy is right only
// the frontend knows: it also gets the last one that was, and takes that if it has to.
void Supervisor::startFrontend() {
  KJ_IF_MAYBE (problem, kj::runCatchingExceptions([&]() { house.readPolicy(); }))
    writeLine("bpfmand", getpid(), kj::str(problem->getDescription(), ": the policy stays as it was").cStr());
  kj::AutoCloseFd theirs;
  control = newPair(theirs);
  auto btf = openKernelBtf(), stats = openFile("/proc/sys/kernel/bpf_stats_enabled", O_RDONLY);
  ready = reloading = false, killAt = Clock::time_point::max();
  auto orNull = [&](const kj::AutoCloseFd& fd) { return fd.get() < 0 ? house.null.get() : fd.get(); };
  std::vector<int> layout{
      theirs.get(),        house.listeners[0].get(), house.frontendOptions.get(), house.policy.get(),      btf.get(),
      stats.get(),         house.cgroups.get(),      house.stateDir.get(),        house.programsDir.get(), orNull(house.keptPolicy),
      orNull(house.probed)};
  for (size_t i = 1; i < house.listeners.size(); ++i) layout.push_back(house.listeners[i].get());
  startChild(Kind::frontend, false, kj::arrayPtr(layout.data(), layout.size()));
}

// A frontend that breaks the protocol is one that was taken over, or is broken: it ends.
void Supervisor::answerFrontend() {
  auto serve = [&]() {
    while (control.get() >= 0 && answerOne()) {}
  };
  KJ_IF_MAYBE (problem, kj::runCatchingExceptions(serve)) {
    writeLine("bpfmand", getpid(), kj::str("the frontend is ended: ", problem->getDescription()).cStr());
    kill(frontend, SIGKILL);
    control = nullptr;
  }
}

bool Supervisor::answerOne() {
  wire::BrokerRequest request;
  iovec bytes{&request, sizeof request};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))];
  msghdr message{nullptr, 0, &bytes, 1, space, CMSG_LEN(sizeof(int)), 0};  // the padding has room for another, which nobody would close
  ssize_t size = recvmsg(control.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  kj::AutoCloseFd passed;
  if (cmsghdr* header = size < 0 ? nullptr : CMSG_FIRSTHDR(&message)) {  // an empty message may have one
    KJ_REQUIRE(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)),
               "odd descriptors");
    passed = kj::AutoCloseFd(*reinterpret_cast<int*>(CMSG_DATA(header)));
  }
  if (size == 0 || (size < 0 && errno == ECONNRESET)) {
    control = nullptr;  // its death follows, or is made to
    killAt = std::min(killAt, Clock::now() + GRACE);
    return false;
  }
  KJ_REQUIRE(size == sizeof request && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)), "malformed request", size);
  KJ_REQUIRE(request.op < wire::BrokerOp::count && request.policyTaken <= (request.op == wire::BrokerOp::ready), "unknown operation");
  auto& [takesDescriptor, operation] = OPERATIONS[static_cast<uint32_t>(request.op)];
  KJ_REQUIRE(takesDescriptor || passed.get() < 0, "a descriptor that nobody asked for");

  Answer answer = (this->*operation)(request, kj::mv(passed));
  int given[2] = {answer.first.get(), answer.second.get()};
  size_t length = sizeof(int) * std::ranges::count_if(given, [](int descriptor) { return descriptor >= 0; });
  iovec reply{&answer.reply, sizeof answer.reply};
  alignas(cmsghdr) char rights[CMSG_SPACE(sizeof given)];
  msghdr out{nullptr, 0, &reply, 1, rights, CMSG_LEN(length), 0};
  *CMSG_FIRSTHDR(&out) = {out.msg_controllen, SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&out)), given, length);
  if (length == 0) out.msg_controllen = 0;
  KJ_REQUIRE(sendmsg(control.get(), &out, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof answer.reply || errno == EPIPE, "it takes no answers");
  return true;
}

// The policy is read again by a new frontend; at the end it goes first, and takes its workers and loaders along.
void Supervisor::hearSignals() {
  signalfd_siginfo heard;
  while (read(signals.get(), &heard, sizeof heard) == sizeof heard) {
    (heard.ssi_signo == SIGHUP ? reloading : stopping) = true;
    if (frontend) kill(frontend, SIGTERM);
    killAt = std::min(killAt, Clock::now() + GRACE);
  }
}

void Supervisor::bury(pid_t pid) {
  Child& child = children.at(pid);
  int status;
  KJ_SYSCALL(waitpid(pid, &status, 0));
  child.drainLog();
  bool well = stopping || reloading || (child.kind != Kind::frontend && (killAt != Clock::time_point::max() || status == 0));
  auto end = WIFEXITED(status) ? kj::str("ended with status ", WEXITSTATUS(status))
                               : kj::str("killed by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  if (!well) writeLine(child.name, pid, end.cStr());
  patience.at(child.kind).died(Clock::now() - child.since, well);
  children.erase(pid);  // before others are signalled: its number may be another's by now
  if (pid == frontend) {
    // There is no policy that could be in force.
    if (WIFEXITED(status) && WEXITSTATUS(status) == wire::WRONG_POLICY && house.keptPolicy.get() < 0) stopping = refused = true;
    frontend = 0, control = nullptr;
    killAt = std::min(killAt, Clock::now() + GRACE);
  }
}

int Supervisor::run() {
  while (!stopping || !children.empty()) {
    std::vector<pollfd> waiting{{signals.get(), POLLIN, 0}, {control.get(), POLLIN, 0}};
    std::vector<pid_t> pids;
    for (auto& [pid, child] : children) {
      pids.push_back(pid);
      waiting.insert(waiting.end(), {{child.started.pidfd.get(), POLLIN, 0}, {child.started.log.get(), POLLIN, 0}});
    }
    bool due = children.empty() || killAt != Clock::time_point::max();
    poll(waiting.data(), waiting.size(), due ? TICK.count() : -1);
    hearSignals();
    if (waiting[1].revents) answerFrontend();
    for (size_t i = 0; i < pids.size(); ++i) {
      if (waiting[3 + 2 * i].revents) children.at(pids[i]).drainLog();
      if (waiting[2 + 2 * i].revents) bury(pids[i]);
    }
    for (auto& [pid, child] : children)
      if (Clock::now() >= killAt) kill(pid, SIGKILL);
    // When the last worker of the old one is gone: nobody else changes what a new frontend finds.
    if (children.empty() && !stopping && patience.at(Kind::frontend).left() == milliseconds(0)) startFrontend();
  }
  return refused;
}

}  // namespace bpfman
