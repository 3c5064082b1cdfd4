#include "frontend/workers.h"

#include <kj/debug.h>

namespace bpfman {

namespace {
constexpr size_t MAX_PLACES = 32;
constexpr auto IDLE = 30 * kj::SECONDS;
}  // namespace

kj::Own<Place> Workers::host(kj::WaitScope& scope) { return in(nullptr, scope); }

kj::Own<Place> Workers::in(kj::Maybe<NamespaceTarget&> target, kj::WaitScope& scope) {
  uint64_t nsid = hostNsid;
  kj::Maybe<int> descriptor;
  KJ_IF_MAYBE (t, target) {
    nsid = t->nsid();
    if (nsid != hostNsid) descriptor = t->fd();
  }
  // Two that want the same place at once share its start.
  for (auto pending = starting.find(nsid); pending != starting.end(); pending = starting.find(nsid))
    pending->second.addBranch().wait(scope);
  auto found = places.find(nsid);
  if (found != places.end()) {
    if (found->second->worker.alive()) return use(*found->second);
    places.erase(found);
  }
  if (nsid != hostNsid) makeRoom();

  auto started = kj::newPromiseAndFulfiller<void>();
  starting.emplace(nsid, started.promise.fork());
  KJ_DEFER({
    starting.erase(nsid);
    started.fulfiller->fulfill();
  });
  auto fds = broker.startWorker(descriptor).wait(scope);
  auto place = kj::refcounted<Place>(port, nsid, nsid == hostNsid, kj::mv(fds));
  auto result = use(*place);
  places[nsid] = kj::mv(place);
  return result;
}

kj::Maybe<kj::Own<Place>> Workers::reachable(uint64_t nsid, kj::WaitScope& scope) {
  if (isHost(nsid)) return host(scope);
  auto found = places.find(nsid);
  if (found == places.end() || !found->second->worker.alive()) return nullptr;
  return use(*found->second);
}

kj::Own<Place> Workers::use(Place& place) {
  place.lastUse = timer.now();
  return kj::addRef(place);
}

void Workers::makeRoom() {
  if (places.size() < MAX_PLACES) return;
  auto oldest = places.end();
  for (auto it = places.begin(); it != places.end(); ++it)
    if (it->first != hostNsid && (oldest == places.end() || it->second->lastUse < oldest->second->lastUse)) oldest = it;
  if (oldest != places.end()) places.erase(oldest);
}

kj::Promise<void> Workers::retireIdle() {
  return timer.afterDelay(IDLE).then([this]() {
    for (auto it = places.begin(); it != places.end();)
      it = it->first != hostNsid && timer.now() - it->second->lastUse > IDLE ? places.erase(it) : std::next(it);
    return retireIdle();
  });
}

}  // namespace bpfman
