// Interfaces that come, go and change their names. Those of the host's network namespace are followed by rtnetlink's notifications; what is
// in others is looked at every PERIOD, as far as links show it without entering them. A look compares all: a notification only says when.
#pragma once

#include <kj/async-unix.h>
#include <kj/io.h>

#include "frontend/core.h"

namespace bpfman {

kj::AutoCloseFd openInterfaceEvents();  // of our own network namespace; before the sandbox, which makes no sockets

void followInterfaces(Core& core, bool all, kj::WaitScope& scope);
// What is gone is lost, what was renamed is called by its new name, what waits for one that is there is attached. `all`: also asks for each
// hook whether it still has what we put there.

class InterfaceWatch {
 public:
  InterfaceWatch(Core& core, kj::AutoCloseFd events);

  void run(kj::WaitScope& scope);  // never ends

 private:
  Core& core;
  kj::AutoCloseFd events;
  kj::UnixEventPort::FdObserver observer;

  bool readEvents();  // whether one of them is about us
};

}  // namespace bpfman
