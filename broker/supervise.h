// The broker's life after its start: what the frontend asks for, what the children say, and who died.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "broker/child.h"
#include "broker/house.h"

namespace bpfman {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a kind of child is held back: not at all for some quick deaths, then 50 ms, doubling to 5 s. One that lived 10 s, or ended
// as it should, makes up for all before.
struct Patience {
  uint32_t forgiven, quickDeaths = 0;
  Clock::time_point until{};

  void died(Clock::duration lived, bool well);
  milliseconds left() const;
};

struct Child {
  Kind kind;
  const char* name;
  bool foreign;  // in a client's network namespace
  Clock::time_point since;
  Started started;
  std::string line;  // what it said since its last newline

  void drainLog();
};

class Supervisor {
 public:
  explicit Supervisor(House& house);
  void startFrontend();
  int run();  // until SIGTERM or SIGINT; the exit code

 private:
  struct Answer {
    wire::BrokerReply reply{};
    kj::AutoCloseFd first{}, second{};
  };
  using Handler = Answer(const wire::BrokerRequest&, kj::AutoCloseFd passed);
  using Operation = std::pair<bool, Answer (Supervisor::*)(const wire::BrokerRequest&, kj::AutoCloseFd)>;  // whether it takes a descriptor
  static const Operation OPERATIONS[];

  House& house;
  std::map<pid_t, Child> children;
  std::map<Kind, Patience> patience;
  kj::AutoCloseFd signals, control;  // control: to the frontend, while it lives
  pid_t frontend = 0;
  bool ready = false, reloading = false, stopping = false, refused = false;
  Clock::time_point killAt = Clock::time_point::max();

  Handler startWorker, startLoader, openEvent, shareXdp, openXdpProgram, noteReady, startDelegator, openModule;  // operations.c++

  void startChild(Kind kind, bool foreign, kj::ArrayPtr<const int> layout);
  size_t count(Kind kind, bool foreign) const;
  void answerFrontend();
  bool answerOne();  // false: nothing there; throws on what is malformed
  void hearSignals();
  void bury(pid_t pid);
};

}  // namespace bpfman
