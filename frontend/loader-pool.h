// Loader and session pairs that wait for their one job: started, confined, connected with each other. A load takes one; when it
// has ended another is started in its place.
#pragma once

#include <deque>

#include "frontend/workers.h"

namespace bpfman {

struct LoadPair {
  kj::Own<Channel> job;            // to the loader
  kj::Own<WorkerChannel> session;  // to the load session
  uint32_t number;                 // of the session, for endSession
  kj::Own<Place> place;            // with the worker that forked it
};

class LoaderPool final : private kj::TaskSet::ErrorHandler {
 public:
  LoaderPool(kj::UnixEventPort& port, BrokerChannel& broker, Workers& workers, kj::FiberPool& fibers, uint32_t size)
      : port(port), broker(broker), workers(workers), fibers(fibers), size(size), tasks(*this) {}

  LoadPair take(kj::WaitScope& scope);  // a waiting one, or a new one
  void refill();
  void refillLater();  // when nothing else is to be done, such as sending an answer

 private:
  kj::UnixEventPort& port;
  BrokerChannel& broker;
  Workers& workers;
  kj::FiberPool& fibers;
  uint32_t size, starting = 0;
  std::deque<LoadPair> ready;
  kj::TaskSet tasks;

  LoadPair start(kj::WaitScope& scope);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace bpfman
