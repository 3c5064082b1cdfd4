// Takes connections, settles who each one is before its first byte is read, and serves it the daemon's capability.
#pragma once

#include "frontend/connection.h"
#include "frontend/intake-stream.h"
#include "frontend/system-view.h"

namespace bpfman {

class Listener final : private kj::TaskSet::ErrorHandler {
 public:
  Listener(Core& core, SystemView& system, int socket)
      : core(core),
        system(system),
        socket(socket),
        observer(core.io.unixEventPort, socket, kj::UnixEventPort::FdObserver::OBSERVE_READ),
        tasks(*this) {}

  kj::Promise<void> serve();  // never ends

 private:
  Core& core;
  SystemView& system;
  int socket;
  kj::UnixEventPort::FdObserver observer;
  uint32_t all = 0;
  kj::TaskSet tasks;

  void accept(kj::AutoCloseFd client);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace bpfman
