#include "frontend/grace.h"

#include <linux/membarrier.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kj/debug.h>

namespace bpfman {

namespace {

constexpr uint64_t STOP = 1ull << 32;

kj::AutoCloseFd newEvent(int flags) {
  int event;
  KJ_SYSCALL(event = eventfd(0, EFD_CLOEXEC | flags));
  return kj::AutoCloseFd(event);
}

void serve(int asked, int done) {
  for (uint64_t value; read(asked, &value, sizeof value) == sizeof value && value < STOP;) {
    // Refused only where nohz_full is on. Then a second is far longer than any packet's way through a chain.
    if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) usleep(1'000'000);
    uint64_t one = 1;
    if (write(done, &one, sizeof one) != sizeof one) return;
  }
}

}  // namespace

GracePeriods::GracePeriods(kj::UnixEventPort& port)
    : asked(newEvent(0)),
      done(newEvent(EFD_NONBLOCK)),
      observer(port, done, kj::UnixEventPort::FdObserver::OBSERVE_READ),
      tasks(*this),
      thread([asked = asked.get(), done = done.get()]() { serve(asked, done); }) {
  tasks.add(follow());
}

GracePeriods::~GracePeriods() noexcept(false) {
  uint64_t stop = STOP;
  (void)!write(asked, &stop, sizeof stop);  // kj::Thread waits for its end
}

kj::Promise<void> GracePeriods::pass() {
  auto promise = kj::newPromiseAndFulfiller<void>();
  waiting.push_back(kj::mv(promise.fulfiller));
  if (!running) begin();
  return kj::mv(promise.promise);
}

void GracePeriods::begin() {
  running = true;
  std::swap(waiting, current);  // who asks from now on waits for the next one
  uint64_t one = 1;
  KJ_SYSCALL(write(asked, &one, sizeof one));
}

kj::Promise<void> GracePeriods::follow() {
  return observer.whenBecomesReadable().then([this]() {
    uint64_t value;
    if (read(done, &value, sizeof value) == sizeof value) {
      auto finished = kj::mv(current);
      current.clear();
      for (auto& fulfiller : finished) fulfiller->fulfill();
      running = false;
      if (!waiting.empty()) begin();
    }
    return follow();
  });
}

}  // namespace bpfman
