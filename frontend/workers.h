// The workers: one for the host's network namespace, others inside namespaces of clients, started when they are needed and let go
// when they are idle (what they attached stays, pinned). A worker that died is replaced at the next use.
#pragma once

#include <map>

#include "frontend/broker.h"
#include "frontend/intake.h"
#include "frontend/netlink.h"
#include "frontend/worker.h"

namespace bpfman {

struct Place : public kj::Refcounted {  // a network namespace, with what acts in it
  Place(kj::UnixEventPort& port, uint64_t nsid, bool host, BrokerChannel::StartedWorker started)
      : nsid(nsid), host(host), worker(port, kj::mv(started.control), "the worker"), netlink(kj::mv(started.netlink)) {}

  const uint64_t nsid;
  const bool host;
  WorkerChannel worker;
  kj::AutoCloseFd netlink;  // rtnetlink, opened in it
  kj::TimePoint lastUse = kj::origin<kj::TimePoint>();
};

class Workers {
 public:
  Workers(kj::UnixEventPort& port, kj::Timer& timer, BrokerChannel& broker, uint64_t hostNsid)
      : port(port), timer(timer), broker(broker), hostNsid(hostNsid) {}

  kj::Own<Place> host(kj::WaitScope& scope);
  kj::Own<Place> in(kj::Maybe<NamespaceTarget&> target, kj::WaitScope& scope);  // none: the host's
  kj::Maybe<kj::Own<Place>> reachable(uint64_t nsid, kj::WaitScope& scope);     // the host's, or one that was used a short while ago
  bool isHost(uint64_t nsid) const { return nsid == hostNsid; }
  uint64_t hostNamespace() const { return hostNsid; }

  kj::Promise<void> retireIdle();  // never ends

 private:
  kj::UnixEventPort& port;
  kj::Timer& timer;
  BrokerChannel& broker;
  uint64_t hostNsid;
  std::map<uint64_t, kj::Own<Place>> places;
  std::map<uint64_t, kj::ForkedPromise<void>> starting;

  kj::Own<Place> use(Place& place);
  void makeRoom();
};

// Runs `body`, and when a worker died meanwhile again, with the next one: all of it must be safe to repeat. A load's refusal counts as
// well, as sessions die with their worker.
template <typename Body>
void untilAWorkerLives(Workers& workers, kj::WaitScope& scope, Body&& body) {
  constexpr int most = 20;
  for (int tries = 1;; ++tries) {
    auto host = workers.host(scope);
    auto failure = kj::runCatchingExceptions([&]() { body(); });
    KJ_IF_MAYBE (exception, failure) {
      bool died = exception->getType() == kj::Exception::Type::DISCONNECTED || !host->worker.alive();
      if (died && tries < most) continue;
      kj::throwFatalException(kj::mv(*exception));
    }
    return;
  }
}

}  // namespace bpfman
