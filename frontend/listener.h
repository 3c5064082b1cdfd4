// Takes connections, settles who each one is before its first byte is read, and serves it the daemon's capability.
#pragma once

#include "frontend/connection.h"
#include "frontend/intake-stream.h"
#include "frontend/system-view.h"

namespace bpfman {

class Listener final : private kj::TaskSet::ErrorHandler {
 public:
  // name: as the audit calls it. fixed: who everybody is that connects here, with no group; none: who he really is.
  Listener(Core& core, SystemView& system, int socket, kj::StringPtr name, kj::Maybe<uint32_t> fixed)
      : core(core),
        system(system),
        socket(socket),
        name(name),
        fixed(fixed),
        observer(core.io.unixEventPort, socket, kj::UnixEventPort::FdObserver::OBSERVE_READ),
        tasks(*this) {}

  kj::Promise<void> serve();  // never ends

 private:
  Core& core;
  SystemView& system;
  int socket;
  kj::StringPtr name;
  kj::Maybe<uint32_t> fixed;
  kj::UnixEventPort::FdObserver observer;
  kj::TaskSet tasks;

  void accept(kj::AutoCloseFd client);
  void serveOne(kj::AutoCloseFd client, Identity identity);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace bpfman
