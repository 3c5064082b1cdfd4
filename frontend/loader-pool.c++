#include "frontend/loader-pool.h"

#include <sys/socket.h>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

namespace bpfman {

LoadPair LoaderPool::start(kj::WaitScope& scope) {
  auto place = workers.host(scope);
  auto loader = broker.startLoader().wait(scope);
  int ends[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
  kj::AutoCloseFd ours(ends[0]), theirs(ends[1]);
  int passed[2] = {theirs.get(), loader.session.get()};
  auto reply = place->worker.callPlain(wire::Op::startSession, passed).wait(scope);
  uint32_t number = requireOk(reply, "start a load session");
  return {kj::heap<Channel>(port, kj::mv(loader.job), "the loader"), kj::heap<WorkerChannel>(port, kj::mv(ours), "the load session"),
          number, kj::mv(place)};
}

LoadPair LoaderPool::take(kj::WaitScope& scope) {
  while (!ready.empty()) {
    LoadPair pair = kj::mv(ready.front());
    ready.pop_front();
    if (!pair.job->alive() || !pair.session->alive()) continue;  // died waiting: with its worker, or by hand
    return pair;
  }
  return start(scope);
}

void LoaderPool::refill() {
  while (ready.size() + starting < size) {
    ++starting;
    tasks.add(fibers.startFiber([this](kj::WaitScope& scope) {
      KJ_DEFER(--starting);
      ready.push_back(start(scope));
    }));
  }
}

void LoaderPool::refillLater() {
  tasks.add(kj::evalLast([this]() { refill(); }));
}

void LoaderPool::taskFailed(kj::Exception&& exception) { spdlog::warn("loader pool: {}", exception.getDescription().cStr()); }

}  // namespace bpfman
