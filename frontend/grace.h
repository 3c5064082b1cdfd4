// RCU grace periods: when one has passed, no packet is in what was taken out of a chain before it began. membarrier(2) waits for one,
// about 10 ms, in a thread of its own.
#pragma once

#include <atomic>
#include <deque>

#include <kj/async-unix.h>
#include <kj/io.h>
#include <kj/thread.h>

namespace bpfman {

class GracePeriods final : private kj::TaskSet::ErrorHandler {
 public:
  explicit GracePeriods(kj::UnixEventPort& port);
  ~GracePeriods() noexcept(false);

  kj::Promise<void> pass();  // one that begins after this call

 private:
  kj::AutoCloseFd asked, done;  // eventfds
  kj::UnixEventPort::FdObserver observer;
  std::deque<kj::Own<kj::PromiseFulfiller<void>>> waiting, current;
  bool running = false;
  kj::TaskSet tasks;
  kj::Thread thread;

  void begin();
  kj::Promise<void> follow();
  void taskFailed(kj::Exception&&) override {}
};

}  // namespace bpfman
