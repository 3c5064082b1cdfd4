#include "frontend/chain-change.h"

#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/arrangement.h"
#include "frontend/clock.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

const ChainMemberHook& sharedHookOf(const LinkRow& link) {
  auto hook = hookOf(link).hook.sharing();
  if (hook == nullptr)
    refuse("link ", link.id, " is a ", typeName(static_cast<schema::ProgramType>(link.kind)),
           " link: only those of xdp and tc programs can be changed so, as bpfman keeps their chains itself");
  return *hook;
}

LinkBefore beforeOf(const LinkRow& row, bool joined) { return {row.id, joined, row.programId, row.priority, row.proceedOn, row.absence}; }

}  // namespace

Turns::Turns(Core& core, const std::set<uint32_t>& ids, const std::vector<LinkRow>& some, kj::WaitScope& scope) {
  for (uint32_t id : ids) programs.push_back(core.locks.take(programLock(id), scope));
  std::map<std::string, const LinkRow*> wanted;
  for (auto& link : some) wanted.emplace(sharedHookOf(link).lockOf(link), &link);
  for (auto& [lock, link] : wanted) chains.emplace(lock, Chain{&sharedHookOf(*link), *link, core.locks.take(lock, scope)});
}

Turns::Chain& Turns::of(const LinkRow& link) {
  auto found = chains.find(sharedHookOf(link).lockOf(link));
  if (found == chains.end()) refuse(kj::Exception::Type::OVERLOADED, kj::str("somebody else changed the same programs; try again"));
  return found->second;
}

void ChainChange::attach(AttachWish& wish) {
  HookType type = KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(wish.program.type)));
  if (type.hook.sharing() == nullptr)
    refuse("a ", type.row.name, " program can't be attached in a change of several links; xdp and tc programs can");
  steps.add(Step{Step::attach, 0, 0, {}, &wish, type.hook.sharing()->newMember(core, wish, scope)});
}

Turns ChainChange::takeTurns() {
  std::set<uint32_t> programs;
  std::vector<LinkRow> some;
  for (auto& step : steps) {
    KJ_IF_MAYBE (newcomer, step.newcomer) {
      programs.insert(newcomer->link.programId);
      some.push_back(newcomer->link);
    } else if (step.kind == Step::replace) {
      programs.insert({step.what, step.by});
      for (auto link : core.catalog.linksOf(step.what))
        if (!isWaiting(*link)) some.push_back(*link);
    } else {
      KJ_IF_MAYBE (link, core.catalog.link(step.what)) {
        if (!isWaiting(*link)) some.push_back(*link);
      } else {
        refuse("link ", step.what, " does not exist");
      }
    }
  }
  return Turns(core, programs, some, scope);
}

// The members of a chain with all that was planned up to now.
std::vector<Member> ChainChange::membersThen(Turns::Chain& chain) {
  auto members = ChainMemberHook::othersOf(chain.present);
  auto add = [&](const LinkRow& row) {
    if (row.state != LinkRow::attached || row.absence != LinkRow::none) return;
    KJ_IF_MAYBE (program, core.catalog.program(row.programId)) members.push_back(memberFrom(core, row, *program));
  };
  auto& some = chain.some;
  for (auto link : core.catalog.linksOn(some.kind, some.nsid, some.ifindex, some.direction))
    if (!edits.count(link->id)) add(*link);
  for (auto& [id, edit] : edits)
    if (chain.hook->lockOf(edit.after) == chain.hook->lockOf(some)) add(edit.after);
  return orderMembers(std::move(members), orderRulesOf(core));
}

const ProgramRow& ChainChange::requireProgram(uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.program(id)) return *row;
  refuse("program ", id, " does not exist");
}

ChainChange::Edit& ChainChange::editOf(Turns& turns, uint32_t link) {
  KJ_IF_MAYBE (row, core.catalog.link(link)) {
    if (row->state != LinkRow::attached) refuse("link ", link, " does not exist");
    if (isWaiting(*row)) refuse("link ", link, " is not attached now: ", row->waiting.c_str());
    turns.of(*row);  // we have it
    return edits.try_emplace(link, Edit{beforeOf(*row, false), *row}).first->second;
  }
  refuse("link ", link, " does not exist");
}

void ChainChange::planAttach(Turns& turns, Step& step) {
  core.changes.requireFree(core, requireProgram(step.wish->program.id));
  auto& newcomer = KJ_ASSERT_NONNULL(step.newcomer);
  auto& chain = turns.of(newcomer.link);
  LinkRow& link = newcomer.link;
  link.state = LinkRow::attached;
  if (chain.engine != &chain.hook->engineFor(core, link, step.wish->program))
    refuse("program ", link.programId, " was loaded for another engine than the others that are to share ", link.interface.c_str());
  chain.place = kj::addRef(*newcomer.target.place);
  if (chain.adoptAs == nullptr && newcomer.adoptAs != nullptr) {
    chain.adoptAs = newcomer.adoptAs;
    chain.hook->adopt(*chain.engine, link, chain.adoptAs, chain.present, scope);
  }
  auto now = membersThen(chain);
  Member member = memberFrom(core, link, step.wish->program);
  resolveNeighbours(*step.wish, now, link, member);
  placeOf(member, now, orderRulesOf(core));
  edits.emplace(link.id, Edit{beforeOf(link, true), link});
}

void ChainChange::plan(Turns& turns, Step& step) {
  switch (step.kind) {
    case Step::attach: return planAttach(turns, step);
    case Step::detach: editOf(turns, step.what).after.absence = LinkRow::left; return;
    case Step::replace:
      for (uint32_t id : {step.what, step.by}) core.changes.requireFree(core, requireProgram(id));
      for (auto link : core.catalog.linksOf(step.what)) {
        if (isWaiting(*link)) {  // nothing of it is in the kernel: it comes back with the new one
          Edit& edit = edits.try_emplace(link->id, Edit{beforeOf(*link, false), *link}).first->second;
          edit.after.programId = step.by;
          continue;
        }
        Edit& edit = editOf(turns, link->id);
        auto& chain = turns.of(edit.after);
        edit.after.programId = step.by;
        KJ_REQUIRE(chain.engine == &core.engines.of(KJ_ASSERT_NONNULL(core.catalog.program(step.by))), "a program of another engine");
      }
      return;
    case Step::modify: {
      LinkRow& row = editOf(turns, step.what).after;
      if (row.absence == LinkRow::left) refuse("link ", row.id, " is detached by the same change");
      KJ_IF_MAYBE (priority, step.to.priority) row.priority = *priority;
      auto& verdicts = turns.of(row).hook->verdicts();
      if (!step.to.proceedOn.empty()) {
        row.proceedOn = proceedOnMask(verdicts, step.to.proceedOn);
        row.proceedOnList = proceedOnList(verdicts, row.proceedOn);
      }
      KJ_IF_MAYBE (paused, step.to.paused) row.absence = *paused ? LinkRow::paused : LinkRow::none;
    }
  }
}

ChangeRow ChainChange::carryOut(uint64_t confirmWithin) {
  Turns turns = takeTurns();
  for (auto& step : steps)  // a chain that is gone from the kernel would take newcomers along
    KJ_IF_MAYBE (newcomer, step.newcomer) turns.of(newcomer->link).hook->forgetIfGone(core, newcomer->link, *newcomer->target.place, scope);
  for (auto& [lock, chain] : turns.all()) {
    core.changes.requireFree(core, chain.some);
    chain.engine = &chain.hook->engineOf(core, chain.some);
    if (chain.some.hostNetns) chain.place = core.workers.host(scope);  // one that only paused may have no dispatcher yet
    chain.present = chain.hook->lookAt(core, *chain.engine, chain.some, true, scope);
    chain.present.lock = nullptr;  // there is one for all interfaces
  }
  for (auto& step : steps) plan(turns, step);
  ChangeRow row;
  row.id = core.catalog.nextChange(), row.uid = uid;
  row.inKernel = confirmWithin != 0;
  if (confirmWithin != 0) row.until = monotonicClock() + confirmWithin;
  for (auto& step : steps)
    if (step.kind == Step::replace) row.replaced = step.what, row.replacement = step.by;
  for (auto& [lock, chain] : turns.all()) {
    auto then = membersThen(chain);
    if (chain.present.locked != nullptr) refuse("interface ", chain.some.interface.c_str(), ' ', chain.present.locked);
    requireFit(then, chain.engine->capacity());
    row.inKernel &= chain.engine->keepsTime();
  }
  for (auto& [id, edit] : edits) row.links.push_back(edit.before);

  core.catalog.transaction([&]() {  // the journal
    core.catalog.put(row);
    for (auto& [id, edit] : edits) core.catalog.put(edit.after);
  });
  auto failure = kj::runCatchingExceptions([&]() {
    for (auto& [id, edit] : edits) {
      if ((!edit.before.joined && edit.before.programId == edit.after.programId) || isWaiting(edit.after)) continue;
      if (!edit.before.joined) removePin(core, turns.of(edit.after).hook->pinOf(edit.after), scope);  // the old program's
      turns.of(edit.after).hook->pin(core, edit.after, scope);
    }
    for (auto& [lock, chain] : turns.all()) {
      kj::Maybe<Place&> place;
      KJ_IF_MAYBE (known, chain.place) place = **known;
      chain.present = chain.hook->lookAt(core, *chain.engine, chain.some, false, scope);
      chain.hook->adopt(*chain.engine, chain.some, chain.adoptAs, chain.present, scope);
      chain.hook->apply(core, *chain.engine, chain.some, chain.present, membersThen(chain), place, scope, row.until);
      chain.present.lock = nullptr;
    }
    for (auto& step : steps)
      KJ_IF_MAYBE (newcomer, step.newcomer) requireSame(newcomer->target);
    ChangeRow done = row;
    done.state = row.until == 0 ? ChangeRow::confirmed : ChangeRow::waiting;
    core.catalog.put(done);
    row = done;
  });
  KJ_IF_MAYBE (exception, failure) {
    for (auto& [lock, chain] : turns.all()) chain.present.lock = nullptr;
    kj::runCatchingExceptions([&]() { core.changes.end(core, row, turns, scope); });  // it says so when it fails
    kj::throwFatalException(kj::mv(*exception));
  }
  for (auto& [id, edit] : edits)
    if (edit.after.absence != LinkRow::left) touched.push_back(id);
  row.until == 0 ? core.changes.end(core, row, turns, scope) : core.changes.wait(core, row);
  return row;
}

}  // namespace bpfman
