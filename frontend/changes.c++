// Changes that are in the catalogue: how they end.
#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/arrangement.h"
#include "frontend/chain-change.h"
#include "frontend/clock.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

constexpr auto LATER = 10 * kj::SECONDS;

// That are in the kernel.
std::vector<LinkRow> linksOf(Core& core, const ChangeRow& row) {
  std::vector<LinkRow> links;
  for (auto& before : row.links)
    KJ_IF_MAYBE (link, core.catalog.link(before.link))
      if (!isWaiting(*link)) links.push_back(*link);
  return links;
}

std::set<uint32_t> programsOf(const ChangeRow& row) {
  std::set<uint32_t> programs{row.replaced, row.replacement};
  programs.erase(0);
  return programs;
}

void noteTakenBack(Core& core, const ChangeRow& row) {
  std::vector<uint32_t> links;
  for (auto& before : row.links) links.push_back(before.link);
  auto what = kj::str("change ", row.id, " was not confirmed");
  spdlog::warn("{}: it is taken back", what.cStr());
  core.audit.write(row.uid, 0, "", {"take back", {}, kj::mv(links), {}, what.cStr(), "", "ok"});
}

kj::Maybe<ChangeRow> changeRow(Core& core, uint32_t id) {
  auto found = core.catalog.changes().find(id);
  if (found == core.catalog.changes().end()) return nullptr;
  return ChangeRow(found->second);
}

ChangeRow requireWaiting(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, changeRow(core, id))
    if (row->state == ChangeRow::waiting) return *row;
  refuse("no change ", id, " waits to be confirmed; 'bpfman change list' shows those that do");
}

LinkRow asBefore(LinkRow link, const LinkBefore& before) {
  if (before.joined) {
    link.absence = LinkRow::left;
    return link;
  }
  link.programId = before.programId, link.priority = before.priority, link.absence = before.absence;
  link.proceedOn = before.proceedOn;
  link.proceedOnList = proceedOnList(hookOf(link).hook.sharing()->verdicts(), before.proceedOn);
  return link;
}

// Whoever left is gone for good, and so is a dispatcher that nobody needs: that one first, as who is forgotten can't remind us of it.
void forget(Core& core, Turns& turns, std::vector<LinkRow> leavers, kj::WaitScope& scope) {
  core.catalog.transaction([&]() {
    for (auto& link : leavers) {
      link.state = LinkRow::detaching;
      core.catalog.put(link);
    }
  });
  for (auto& [lock, chain] : turns.all()) {
    auto& some = chain.some;
    auto links = core.catalog.linksOn(some.kind, some.nsid, some.ifindex, some.direction);
    if (std::ranges::any_of(links, [](auto link) { return link->state != LinkRow::detaching; })) continue;
    Present present = chain.hook->lookAt(core, *chain.engine, some, true, scope);
    chain.hook->apply(core, *chain.engine, some, present, ChainMemberHook::othersOf(present), nullptr, scope);
  }
  for (auto& link : leavers) {
    removePin(core, hookOf(link).hook.pinOf(link), scope);
    core.catalog.eraseLink(link.id);
  }
}

// It is attached nowhere. What it left in its chains goes first.
void unload(Core& core, uint32_t program, Turns& turns, kj::WaitScope& scope) {
  if (core.catalog.program(program) == nullptr) return;
  for (auto& [lock, chain] : turns.all()) chain.engine->settle(chain.hook->hookOf(chain.some), scope);
  core.loads.removeProgram(program, scope);
}

// The old program goes. Who used its maps uses those of the new one, which are the same; and the new one's load is no update under way any
// more: after a reboot another program may have the old one's number.
void handOver(Core& core, const ChangeRow& change) {
  std::vector<ProgramRow> users;
  LoadRow load;
  KJ_IF_MAYBE (replacement, core.catalog.program(change.replacement)) load = KJ_ASSERT_NONNULL(core.catalog.load(replacement->load));
  load.purpose = updatedPurpose(change.replaced);
  KJ_IF_MAYBE (replaced, core.catalog.program(change.replaced)) {
    for (auto& [id, row] : core.catalog.programs()) {
      if (row.mapOwner != change.replaced) continue;
      users.push_back(row);
      users.back().mapOwner = id == change.replacement ? replaced->mapOwner : change.replacement;
    }
  }
  core.catalog.transaction([&]() {
    for (auto& row : users) core.catalog.put(row);
    if (load.load != 0) core.catalog.put(load);
  });
}

void chooseEngines(Core& core, Turns& turns) {
  for (auto& [lock, chain] : turns.all()) chain.engine = &chain.hook->engineOf(core, chain.some);
}

// It holds: what it made superfluous goes.
void finish(Core& core, const ChangeRow& row, Turns& turns, kj::WaitScope& scope) {
  chooseEngines(core, turns);
  std::vector<LinkRow> leavers;
  for (auto& link : linksOf(core, row))
    if (link.absence == LinkRow::left) leavers.push_back(link);
  forget(core, turns, leavers, scope);
  if (row.replaced != 0) handOver(core, row);
  unload(core, row.replaced, turns, scope);
  core.catalog.eraseChange(row.id);
}

void undo(Core& core, const ChangeRow& row, Turns& turns, kj::WaitScope& scope) {
  chooseEngines(core, turns);
  std::vector<LinkRow> newcomers, repinned;
  core.catalog.transaction([&]() {
    ChangeRow undoing = row;
    undoing.state = ChangeRow::applying;
    core.catalog.put(undoing);
    for (auto& before : row.links)
      KJ_IF_MAYBE (known, core.catalog.link(before.link)) {
        LinkRow link = asBefore(*known, before);
        if (before.joined) newcomers.push_back(link);
        if (row.replaced != 0 && before.programId == row.replaced && !isWaiting(link)) repinned.push_back(link);
        core.catalog.put(link);
      }
  });
  for (auto& link : repinned) {
    removePin(core, hookOf(link).hook.pinOf(link), scope);
    turns.of(link).hook->pin(core, KJ_ASSERT_NONNULL(core.catalog.link(link.id)), scope);
  }
  for (auto& [lock, chain] : turns.all()) {
    LinkRow nobody = chain.some;
    nobody.id = 0;  // none is left out
    Present present = chain.hook->lookAt(core, *chain.engine, nobody, false, scope);
    auto members = membersOn(core, nobody, ChainMemberHook::othersOf(present));
    chain.hook->apply(core, *chain.engine, nobody, present, members, nullptr, scope);
  }
  forget(core, turns, newcomers, scope);
  unload(core, row.replacement, turns, scope);
  core.catalog.eraseChange(row.id);
}

}  // namespace

// Whoever dies meanwhile: each step can be done again.
void Changes::end(Core& core, const ChangeRow& row, Turns& turns, kj::WaitScope& scope) {
  bool kept = row.state == ChangeRow::confirmed;
  auto failure = kj::runCatchingExceptions(
      [&]() { untilAWorkerLives(core.workers, scope, [&]() { kept ? finish(core, row, turns, scope) : undo(core, row, turns, scope); }); });
  KJ_IF_MAYBE (exception, failure) {
    spdlog::error("change {} could not be {}: {}; tried again in {} s", row.id, kept ? "finished" : "taken back",
                  exception->getDescription().cStr(), LATER / kj::SECONDS);
    endAfter(core, row.id, LATER);
    if (!kept) kj::throwFatalException(kj::mv(*exception));
  }
}

kj::Maybe<const ChangeRow&> Changes::waitingOn(Core& core, const LinkRow& link) const {
  for (auto& [id, row] : core.catalog.changes())
    for (auto& other : linksOf(core, row))
      if (other.kind == link.kind && other.nsid == link.nsid && other.ifindex == link.ifindex && other.direction == link.direction)
        return row;
  return nullptr;
}

void Changes::requireFree(Core& core, const LinkRow& link) const {
  KJ_IF_MAYBE (row, waitingOn(core, link)) {
    if (row->state != ChangeRow::waiting)
      refuse(kj::Exception::Type::OVERLOADED, kj::str("change ", row->id, " of the chain on ", link.interface.c_str(),
                                                      " could not be ended yet (see the daemon's log); try again"));
    int64_t left = static_cast<int64_t>(row->until - monotonicClock()) / 1'000'000'000;
    refuse("change ", row->id, " of the chain on ", link.interface.c_str(), " waits to be confirmed, for ", kj::max(left, 0),
           " s more: 'bpfman confirm ", row->id, "' keeps it, 'bpfman revert ", row->id, "' takes it back");
  }
}

void Changes::requireFree(Core& core, const ProgramRow& program) const {
  for (auto& [id, row] : core.catalog.changes())
    if (row.replaced == program.id || row.replacement == program.id)
      refuse("change ", id, ", which waits to be confirmed, needs program ", program.id, ": 'bpfman confirm ", id, "' or 'bpfman revert ",
             id, "' first");
}

void Changes::wait(Core& core, const ChangeRow& row) {
  uint64_t now = monotonicClock();
  endAfter(core, row.id, (row.until > now ? row.until - now : 0) * kj::NANOSECONDS);
}

void Changes::endAfter(Core& core, uint32_t id, kj::Duration delay) {
  auto work = [this, &core, id](kj::WaitScope& scope) {
    KJ_IF_MAYBE (row, changeRow(core, id)) {
      if (row->state == ChangeRow::waiting && monotonicClock() < row->until) return wait(core, *row);  // a timer can be early
      auto failure = kj::runCatchingExceptions([&]() {
        Turns turns(core, programsOf(*row), linksOf(core, *row), scope);
        KJ_IF_MAYBE (still, changeRow(core, id)) {
          end(core, *still, turns, scope);
          if (still->state == ChangeRow::waiting) noteTakenBack(core, *still);
        }
      });
      KJ_IF_MAYBE (exception, failure) spdlog::error("change {}: {}", id, exception->getDescription().cStr());
    }
  };
  tasks.add(core.io.provider->getTimer().afterDelay(delay).then(
      [&core, work = kj::mv(work)]() mutable { return core.fibers.startFiber(kj::mv(work)); }));
}

// Too late: where the kernel keeps the time, packets take the old chain again already.
void Changes::confirm(Core& core, uint32_t id, kj::WaitScope& scope) {
  ChangeRow row = requireWaiting(core, id);
  Turns turns(core, programsOf(row), linksOf(core, row), scope);
  requireWaiting(core, id);
  auto requireInTime = [&]() {
    if (monotonicClock() < row.until) return;
    end(core, row, turns, scope);
    refuse("it is too late to confirm change ", id, ": it was taken back");
  };
  requireInTime();
  chooseEngines(core, turns);
  for (auto& [lock, chain] : turns.all()) chain.engine->confirm(chain.hook->hookOf(chain.some), scope);
  requireInTime();
  row.state = ChangeRow::confirmed;
  core.catalog.put(row);
  end(core, row, turns, scope);
}

void Changes::takeBack(Core& core, uint32_t id, kj::WaitScope& scope) {
  ChangeRow row = requireWaiting(core, id);
  Turns turns(core, programsOf(row), linksOf(core, row), scope);
  requireWaiting(core, id);
  end(core, row, turns, scope);
}

// Only the catalogue knows of such a change any more: it says what comes back.
void Changes::forgetGone(Core& core, const std::set<uint32_t>& present, kj::WaitScope& scope) {
  std::vector<ChangeRow> rows;
  for (auto& [id, row] : core.catalog.changes()) rows.push_back(row);
  for (auto& row : rows) {
    std::set<uint32_t> programs = programsOf(row), gone;
    for (auto& before : row.links) {
      programs.insert(before.programId);
      KJ_IF_MAYBE (link, core.catalog.link(before.link)) programs.insert(link->programId);
    }
    for (uint32_t id : programs)
      KJ_IF_MAYBE (program, core.catalog.program(id))
        if (!present.count(program->load)) gone.insert(id);
    if (gone.empty()) continue;
    bool kept = row.state == ChangeRow::confirmed;
    if (kept && row.replaced != 0) handOver(core, row);
    core.catalog.transaction([&]() {
      for (auto& before : row.links)
        KJ_IF_MAYBE (known, core.catalog.link(before.link)) {
          LinkRow link = kept ? *known : asBefore(*known, before);
          link.absence == LinkRow::left ? core.catalog.eraseLink(link.id) : core.catalog.put(link);
        }
      core.catalog.eraseChange(row.id);
    });
    KJ_IF_MAYBE (program, core.catalog.program(kept ? row.replaced : row.replacement)) core.loads.undo(program->load, scope);
  }
}

// One whose time is over is taken back at once; so is one whose links went with a reboot. What can't be ended now must not keep the daemon
// from starting.
void Changes::recover(Core& core, kj::WaitScope& scope) {
  std::vector<ChangeRow> rows;
  for (auto& [id, row] : core.catalog.changes()) rows.push_back(row);
  for (auto& row : rows) {
    auto links = linksOf(core, row);
    if (row.state == ChangeRow::waiting && monotonicClock() < row.until && !links.empty()) {
      wait(core, row);
      continue;
    }
    auto failure = kj::runCatchingExceptions([&]() {
      Turns turns(core, programsOf(row), links, scope);
      spdlog::info("change {}, which was under way, is {}", row.id, row.state == ChangeRow::confirmed ? "finished" : "taken back");
      end(core, row, turns, scope);
    });
    KJ_IF_MAYBE (exception, failure) spdlog::error("change {} can't be ended: {}", row.id, exception->getDescription().cStr());
  }
}

void Changes::taskFailed(kj::Exception&& exception) { spdlog::error("{}", exception.getDescription().cStr()); }

}  // namespace bpfman
