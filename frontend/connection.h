// One client: who it is, what it may do, what it has under way. Its capabilities share it; it ends with the last of them.
#pragma once

#include <map>
#include <set>

#include <kj/debug.h>

#include "frontend/core.h"
#include "frontend/rights.h"

namespace bpfman {

constexpr int READ_TRIES = 5;

class Connection : public kj::Refcounted {
 public:
  Connection(Core& core, Identity identity) : core(core), identity(kj::mv(identity)), rights(core.policy.rightsOf(this->identity.caller)) {}

  Core& core;
  Identity identity;
  Rights rights;
  std::map<uint64_t, SealedObject> uploads;  // finished, not used yet
  uint32_t uploadsBegun = 0;
  uint64_t lastUpload = 0;
  std::set<Cancellation*> loads;  // under way: they end with the connection

  uint32_t uid() const { return identity.caller.uid; }

  // Runs `body` in a fiber, if the connection has not too many calls in flight. It goes on when the client is gone: what was begun is
  // finished.
  template <typename Body>
  kj::Promise<void> run(Body&& body) {
    if (calls >= core.options.maxCalls) return overloaded();
    ++calls;
    return core.fibers.startFiber([self = kj::addRef(*this), body = kj::fwd<Body>(body)](kj::WaitScope& scope) mutable {
      KJ_DEFER(--self->calls);
      KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { body(scope); })) explain(kj::mv(*exception));
    });
  }

  // The same for what changes nothing: when the worker dies meanwhile it is asked again.
  template <typename Body>
  kj::Promise<void> read(Body&& body) {
    return run([body = kj::fwd<Body>(body)](kj::WaitScope& scope) mutable {
      for (int tries = 1;; ++tries) {
        KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { body(scope); })) {
          if (exception->getType() != kj::Exception::Type::DISCONNECTED || tries == READ_TRIES) kj::throwFatalException(kj::mv(*exception));
          continue;
        }
        return;
      }
    });
  }

  void disconnected();

 private:
  uint32_t calls = 0;

  kj::Promise<void> overloaded();
  [[noreturn]] static void explain(kj::Exception&& exception);  // rethrows it, in words for the client
};

}  // namespace bpfman
