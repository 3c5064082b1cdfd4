// One client: who it is, what it may do, what it has under way. Its capabilities share it; it ends with the last of them.
#pragma once

#include <map>
#include <set>

#include <kj/debug.h>

#include "frontend/core.h"
#include "frontend/narrowing.h"
#include "frontend/refuse.h"
#include "frontend/rights.h"

namespace capnp {
class TwoPartyVatNetwork;
}

namespace bpfman {

constexpr int READ_TRIES = 5;

class Connection : public kj::Refcounted {
 public:
  Connection(Core& core, Identity identity, kj::StringPtr socketName)
      : core(core),
        socketName(socketName),
        identity(kj::mv(identity)),
        rights(core.policy.rightsOf(this->identity.caller)),
        account(core.accounts.of(this->identity.caller.uid)) {
    account->connections.insert(this);
    rights.onDenied = [this](kj::StringPtr what) { auditDenial(what); };
  }

  Core& core;
  kj::StringPtr socketName;  // that it came by
  Identity identity;
  Rights rights;
  std::map<uint64_t, SealedObject> uploads;  // finished, not used yet
  uint32_t uploadsBegun = 0;
  uint64_t lastUpload = 0;
  std::set<Cancellation*> loads;  // under way: they end with the connection
  kj::Own<Account> account;
  uint32_t capabilities = 0;                     // that its client holds
  uint32_t descriptors = 0;                      // of those, with a descriptor of ours
  capnp::TwoPartyVatNetwork* network = nullptr;  // while it is connected
  int socket = -1;                               // likewise; to look at, not to use

  uint32_t uid() const { return identity.caller.uid; }

  void requireDescriptor(kj::WaitScope& scope);   // before one is sent: waits, for some seconds, until earlier ones were received
  void requireCapabilities(uint32_t more) const;  // before anything is done whose answer gives them

  // Runs `body` in a fiber, if its user has not too many calls in flight. It goes on when the client is gone: what was begun is
  // finished.
  template <typename Body>
  kj::Promise<void> run(Body&& body) {
    requireCall();
    ++account->calls;
    return core.fibers.startFiber([self = kj::addRef(*this), body = kj::fwd<Body>(body)](kj::WaitScope& scope) mutable {
      KJ_DEFER(--self->account->calls);
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

  // Runs `body(scope, line)`, a change or a hand-over, and writes the audit's line about how it ended. Denials have lines of their own.
  template <typename Body>
  kj::Promise<void> change(kj::StringPtr action, Body&& body) {
    return run([this, action, body = kj::fwd<Body>(body)](kj::WaitScope& scope) mutable {
      AuditLine line{action, {}, {}, {}, {}, {}, {}};
      auto failure = kj::runCatchingExceptions([&]() { body(scope, line); });
      KJ_IF_MAYBE (exception, failure) {
        if (!isDenial(*exception)) audit(line, exception->getDescription());
        kj::throwFatalException(kj::mv(*exception));
      }
      audit(line, "ok");
    });
  }
  std::string requestKey(capnp::Data::Reader id) const;  // as the catalogue keeps it; "" for none

  void disconnected();

  void audit(AuditLine& line, kj::StringPtr result);

 private:
  uint32_t descriptorsSent = 0;  // since all was received

  void requireCall() const;
  void auditDenial(kj::StringPtr what);
  size_t unread() const;
  [[noreturn]] static void explain(kj::Exception&& exception);  // rethrows it, in words for the client
};

using Narrowed = kj::Maybe<Narrowing&>;

// What each of its capabilities holds: the connection, counted, and what was taken away from this one.
class Holding {
 public:
  explicit Holding(Connection& connection, Narrowed narrowed = nullptr) : connection(kj::addRef(connection)) {
    KJ_IF_MAYBE (n, narrowed) narrowing = kj::addRef(*n);
    ++connection.capabilities;
  }
  KJ_DISALLOW_COPY(Holding);
  ~Holding() noexcept(false) { --connection->capabilities; }

  Connection* operator->() const { return connection.get(); }
  Connection& operator*() const { return *connection; }

  // As the connection's, if this capability still is what it takes.
  template <typename Body>
  kj::Promise<void> read(Body&& body) {
    KJ_IF_MAYBE (n, narrowing) {
      (*n)->requireLive();
      return (*n)->guard(connection->read(kj::fwd<Body>(body)));
    }
    return connection->read(kj::fwd<Body>(body));
  }
  template <typename Body>
  kj::Promise<void> change(kj::StringPtr action, Body&& body) {
    KJ_IF_MAYBE (n, narrowing) (*n)->requireChange();
    return audited(action, kj::fwd<Body>(body));
  }
  template <typename Body>
  kj::Promise<void> audited(kj::StringPtr action, Body&& body) {  // a hand-over may be for reading only, and then is no change
    KJ_IF_MAYBE (n, narrowing) {
      (*n)->requireLive();
      return (*n)->guard(connection->change(action, kj::fwd<Body>(body)));
    }
    return connection->change(action, kj::fwd<Body>(body));
  }

  Narrowed narrowed() {
    KJ_IF_MAYBE (n, narrowing) return **n;
    return nullptr;
  }
  kj::Own<Narrowing> narrow(schema::Narrowing::Reader wish);  // one more, below this one's

 private:
  mutable kj::Own<Connection> connection;
  kj::Maybe<kj::Own<Narrowing>> narrowing;
};

}  // namespace bpfman
