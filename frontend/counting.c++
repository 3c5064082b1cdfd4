#include "frontend/counting.h"

#include <algorithm>

#include <kj/debug.h>

#include "frontend/dispatcher-attachment.h"
#include "frontend/hook-chain.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

static_assert(int(schema::Counting::OFF) == int(Counting::off) && int(schema::Counting::VERDICTS) == int(Counting::verdicts) &&
              int(schema::Counting::TIME) == int(Counting::time));

constexpr const char* NAMES[] = {"off", "verdicts", "time"};

std::string lockOf(const Catalog::DispatcherKey& chain) { return std::apply(chainLock, chain); }

DispatcherRow requireChain(const Core& core, const Catalog::DispatcherKey& chain) {
  auto& [type, nsid, ifindex] = chain;
  KJ_IF_MAYBE (row, core.catalog.dispatcher(type, nsid, ifindex)) return *row;
  refuse("dispatcher (", type.c_str(), ", ", nsid, ", ", ifindex, "): record not found");
}

void describe(const MemberCounts& counts, int32_t lowest, schema::Dispatcher::Counters::Builder out) {
  size_t last = counts.finals.size() - 1, given = 0, at = 0;
  uint64_t seen = counts.passedOn;
  for (uint64_t each : counts.finals) seen += each;
  out.setSeen(seen);
  out.setPassedOn(counts.passedOn);
  for (size_t i = 0; i < last; ++i) given += counts.finals[i] != 0;
  auto finals = out.initFinals(given);
  for (size_t i = 0; i < last; ++i) {
    if (counts.finals[i] == 0) continue;
    finals[at].setVerdict(static_cast<int32_t>(i) + lowest);
    finals[at++].setPackets(counts.finals[i]);
  }
  out.setOtherFinals(counts.finals[last]);
  out.setTimedRuns(counts.timedRuns);
  out.setNanoseconds(counts.nanoseconds);
}

}  // namespace

void requireCounting(const Rights& rights, const Core& core, const Catalog::DispatcherKey& chain) {
  DispatcherRow row = requireChain(core, chain);
  for (auto& [id, link] : core.catalog.links()) {
    KJ_IF_MAYBE (hook, hookOf(link).hook.chainOf(link))
      if (hook->type == row.type && hook->nsid == row.nsid && hook->ifindex == row.ifindex &&
          rights.decide(Request::toChange(link.uid)).allowed)
        return;
  }
  rights.requireAdministrator("switch the counters of a chain in which he has no program");
}

void countChain(Core& core, const Catalog::DispatcherKey& chain, schema::Counting wanted, AuditLine& line, kj::WaitScope& scope) {
  auto turn = core.locks.take(lockOf(chain), scope);
  DispatcherRow row = requireChain(core, chain);
  if (wanted > schema::Counting::TIME) refuse("counting is off, verdicts or time, not ", static_cast<unsigned>(wanted));
  line.what = row.interface + " " + NAMES[static_cast<unsigned>(wanted)];
  ChainEngine& engine = core.engines.named(row.engine);
  if (engine.noCounters().size() > 0) refuse(row.type.c_str(), " on ", row.interface.c_str(), ": ", engine.noCounters());
  engine.count(chainHookOf(row), static_cast<Counting>(wanted), scope);
}

// A chain that is gone meanwhile has none, and one of another version's dispatcher is shown all the same.
void describeCounts(Core& core, const DispatcherRow& row, schema::Dispatcher::Builder out, kj::WaitScope& scope) {
  ChainEngine& engine = core.engines.named(row.engine);
  out.setNoCounters(engine.noCounters());
  if (engine.noCounters().size() > 0) return;
  Catalog::DispatcherKey key{row.type, row.nsid, row.ifindex};
  auto turn = core.locks.take(lockOf(key), scope);
  if (core.catalog.dispatcher(row.type, row.nsid, row.ifindex) == nullptr) return;
  ChainCounts counts;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { counts = engine.counts(chainHookOf(row), scope); })) {
    if (exception->getType() == kj::Exception::Type::DISCONNECTED) kj::throwFatalException(kj::mv(*exception));
    out.setNoCounters(exception->getDescription());
    return;
  }
  out.setCounting(static_cast<schema::Counting>(counts.counting));
  for (auto member : out.getMembers()) {
    auto known = std::ranges::find(counts.members, member.getLinkId(), &MemberCounts::link);
    if (known != counts.members.end())
      describe(*known, row.type == "xdp" ? XDP_VERDICTS.lowest : TC_VERDICTS.lowest, member.initCounters());
  }
}

}  // namespace bpfman
