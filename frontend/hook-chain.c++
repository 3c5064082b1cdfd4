#include "frontend/hook-chain.h"

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/arrangement.h"
#include "frontend/chain-change.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

std::vector<ChainMember> chainOfMembers(Core& core, const std::vector<Member>& members, const Present& present) {
  std::vector<ChainMember> chain;
  for (const Member& member : members) {
    ChainMember next{0, 0, member.proceedOn, member.program, member.link, member.name, member.priority};
    for (auto& other : present.others)
      if (member.foreign && other.program == member.program) {
        next.theirs = other.pin;
        next.priority = other.priority;
        next.frags = other.frags;
      }
    if (!member.foreign) {
      const ProgramRow& program = KJ_ASSERT_NONNULL(core.catalog.program(member.program));
      next.load = program.load, next.index = program.index, next.frags = program.frags;
    }
    chain.push_back(kj::mv(next));
  }
  return chain;
}

}  // namespace

LinkRow linkOn(const ChainHook& hook) {
  LinkRow link;
  link.kind = static_cast<uint16_t>(hook.isXdp() ? schema::ProgramType::XDP : schema::ProgramType::TC);
  link.direction = static_cast<uint8_t>(hook.isEgress() ? schema::Direction::EGRESS : schema::Direction::INGRESS);
  link.nsid = hook.nsid, link.ifindex = hook.ifindex, link.interface = hook.interface;
  link.netnsPath = hook.netnsPath, link.hostNetns = hook.host;
  return link;
}

std::string chainLock(const std::string& type, uint64_t nsid, uint32_t ifindex) {
  return kj::str(type.c_str(), ':', nsid, ':', ifindex).cStr();
}

std::vector<Member> ChainMemberHook::othersOf(const Present& present) {
  std::vector<Member> members;
  for (auto& other : present.others) {
    Member& member = members.emplace_back();
    member.program = other.program, member.name = other.name, member.proceedOn = other.proceedOn, member.foreign = true;
    member.priority = static_cast<int32_t>(kj::min(other.priority, INT32_MAX));
    member.adopted = other.adopted;
  }
  return members;
}

ChainMemberHook::NewMember ChainMemberHook::newMember(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  WantedMember wanted = shared.wanted(wish.place);
  std::vector<int32_t> verdicts;
  for (int32_t verdict : wanted.proceedOn) verdicts.push_back(verdict);
  bool own = verdicts.empty() && wish.program.runProceedOn != 0;  // as the object's author wrote
  uint32_t mask = own ? wish.program.runProceedOn | XDP_PROCEED_RETURN : proceedOnMask(shared.verdicts, verdicts);
  if (wanted.priority == PRIORITY_UNSAID) wanted.priority = wish.program.runPriority >= 0 ? wish.program.runPriority : DEFAULT_PRIORITY;
  Target target = resolve(core, wish, wanted.interface, wanted.priority, scope);

  LinkRow link = newLink(core, wish);
  fillTarget(link, target, wish, wanted.netnsPath);
  link.direction = static_cast<uint8_t>(wanted.direction);
  link.priority = wanted.priority;
  link.proceedOn = mask;
  link.proceedOnList = proceedOnList(shared.verdicts, mask);
  return {kj::mv(target), std::move(link), wanted.adoptAs};
}

// Refuses whatever an attach refuses before it changes anything. A plan forgets nobody: a chain that is gone from the kernel is then shown
// once more.
ChainMemberHook::Attempt ChainMemberHook::prepare(Core& core, AttachWish& wish, bool forget, kj::WaitScope& scope) const {
  auto [target, link, adoptAs] = newMember(core, wish, scope);
  auto turn = core.locks.take(lockOf(link), scope);
  core.changes.requireFree(core, link);
  if (forget) forgetIfGone(core, link, *target.place, scope);
  ChainEngine& engine = engineFor(core, link, wish.program);
  Present present = lookAt(core, engine, link, forget, scope);
  if (present.locked != nullptr) refuse("interface ", link.interface.c_str(), ' ', present.locked);
  adopt(engine, link, adoptAs, present, scope);
  std::vector<Member> now = membersOn(core, link, othersOf(present)), then = now;
  Member newcomer = memberFrom(core, link, wish.program);
  resolveNeighbours(wish, now, link, newcomer);
  if (wish.again == nullptr)
    placeOf(newcomer, now, orderRulesOf(core));                 // else it had its place: wishes that contradict new rules are void
  if (link.absence == LinkRow::none) then.push_back(newcomer);  // else it comes back paused, as it went
  requireFit(then, engine.capacity());
  then = orderMembers(std::move(then), orderRulesOf(core));
  return {kj::mv(target), std::move(link), engine, kj::mv(present), std::move(now), std::move(then), kj::mv(turn)};
}

LinkRow ChainMemberHook::attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  Attempt attempt = prepare(core, wish, true, scope);
  LinkRow& link = attempt.link;
  core.catalog.put(link);  // the journal: state attaching
  auto failure = kj::runCatchingExceptions([&]() {
    pin(core, link, scope);
    apply(core, attempt.engine, link, attempt.present, attempt.then, *attempt.target.place, scope);
    requireSame(attempt.target);
    LinkRow row = KJ_ASSERT_NONNULL(core.catalog.link(link.id));
    row.state = LinkRow::attached;
    row.waiting.clear();
    core.catalog.put(row);
  });
  KJ_IF_MAYBE (exception, failure) {
    attempt.present.lock = nullptr;
    takeOut(core, link, scope);
    kj::throwFatalException(kj::mv(*exception));
  }
  return KJ_ASSERT_NONNULL(core.catalog.link(link.id));
}

void ChainMemberHook::detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const {
  LinkRow link = old;
  auto turn = core.locks.take(lockOf(link), scope);
  if (core.catalog.link(link.id) == nullptr) refuse("link ", link.id, " does not exist");
  core.changes.requireFree(core, link);
  beginDetach(core, link);
  takeOut(core, link, scope);
}

Plan ChainMemberHook::plan(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  Attempt attempt = prepare(core, wish, false, scope);
  return {std::move(attempt.now), std::move(attempt.then), attempt.link.id};
}

wire::Pin ChainMemberHook::pinOf(const LinkRow& link) const {
  return pinAt(shared.members[link.direction], static_cast<uint32_t>(link.nsid), link.ifindex, link.id);
}

ChainHook ChainMemberHook::hookOf(const LinkRow& link) const {
  return {shared.dispatcherTypes[link.direction], link.nsid, link.ifindex, link.interface, link.netnsPath, link.hostNetns};
}

std::string ChainMemberHook::lockOf(const LinkRow& link) const {
  return chainLock(shared.dispatcherTypes[link.direction], link.nsid, link.ifindex);
}

// A dispatcher that is no longer on this interface (the interface or its namespace went, and another has its numbers now; or somebody took
// it away by hand) runs for nobody: it goes with its members before a new one is made.
void ChainMemberHook::forgetIfGone(Core& core, const LinkRow& link, Place& place, kj::WaitScope& scope) const {
  ChainHook hook = hookOf(link);
  bool there = isThere(core, link, scope);
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
    bool byNetlink = row->engine == "libxdp" && hook.host && row->kernelLinkId == 0;  // what is there is looked at anyway
    if (there && (byNetlink || dispatcherIsOn(core.workers, place, hook, DispatcherRow(*row), scope))) return;
  } else {
    return;
  }
  std::vector<LinkRow> members;
  for (auto member : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction)) members.push_back(*member);
  spdlog::log(there ? spdlog::level::warn : spdlog::level::info,
              "the {} dispatcher on {} (index {}) is gone from the kernel, with its {} links", hook.type, link.interface, link.ifindex,
              members.size());
  for (auto& member : members) {
    removePin(core, pinOf(member), scope);
    lose(core, member, there ? kj::str("its dispatcher is not there") : notThere(member));
  }
  DispatcherRow row = KJ_ASSERT_NONNULL(core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex));
  row.filterHandle = 0;  // it went: nobody needs to look for it
  core.catalog.put(row);
  Present none;
  engineOf(core, link).apply(hook, none, {}, nullptr, scope);
  core.catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
}

// The chain without this link. An interface that is gone takes its dispatcher along: then there is nothing to do but to forget.
void ChainMemberHook::takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  ChainEngine& engine = engineOf(core, link);
  Present present = lookAt(core, engine, link, true, scope);
  apply(core, engine, link, present, membersOn(core, link, othersOf(present)), nullptr, scope);
  removePin(core, pinOf(link), scope);
  takeBack(core, link);
}

// The one that keeps the hook's chain, which must be the one that the program was loaded for.
ChainEngine& ChainMemberHook::engineFor(Core& core, const LinkRow& link, const ProgramRow& program) const {
  ChainEngine& engine = core.engines.of(program);
  ChainHook hook = hookOf(link);
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex))
    if (row->engine != engine.name().cStr())
      refuse("the chain on ", link.interface.c_str(), " is kept by engine ", row->engine.c_str(), ", but program ", program.id,
             " was loaded for engine ", engine.name(), "; load it again with --engine ", row->engine.c_str(),
             ", or detach what is on the interface first");
  return engine;
}

ChainEngine& ChainMemberHook::engineOf(Core& core, const LinkRow& link) const {
  ChainHook hook = hookOf(link);
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) return core.engines.named(row->engine);
  KJ_IF_MAYBE (program, core.catalog.program(link.programId)) return core.engines.of(*program);
  return core.engines.preferred(hook.isXdp());
}

// What is there now. Ours that another tool took out are forgotten, unless a change is under way, which may be what has taken them out; and
// all of them where it took a dispatcher off that replaced another's program: that one was attached by netlink, so anybody could.
Present ChainMemberHook::lookAt(Core& core, ChainEngine& engine, const LinkRow& link, bool forget, kj::WaitScope& scope) const {
  ChainHook hook = hookOf(link);
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex))
    if (forget && row->adopted != 0) forgetIfGone(core, link, *core.workers.host(scope), scope);
  std::vector<OursInChain> ours;
  for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
    ours.push_back({other->id, other->programId, other->state == LinkRow::attached && other->absence == LinkRow::none});
  for (auto& [id, change] : core.catalog.changes()) {  // what it is taken back to, or was taken from
    for (auto& before : change.links) ours.push_back({before.link, before.programId, false});
    if (change.replacement != 0) ours.push_back({0, change.replacement, false});
  }
  Present present = engine.look(hook, ours, scope);
  for (uint32_t id : present.gone) {
    if (!forget || core.changes.waitingOn(core, link) != nullptr) break;
    LinkRow gone = KJ_ASSERT_NONNULL(core.catalog.link(id));
    spdlog::warn("link {} (program {}) on {} was taken out by another tool: it is forgotten", id, gone.programId, gone.interface);
    removePin(core, pinOf(gone), scope);
    core.catalog.eraseLink(id);
  }
  return present;
}

void ChainMemberHook::adopt(ChainEngine& engine, const LinkRow& link, kj::Maybe<int32_t> as, Present& present, kj::WaitScope& scope) const {
  KJ_IF_MAYBE (priority, as) {
    if (*priority < 0) refuse("priority ", *priority, " of the adopted program: it must be 0 or more");
    if (!link.hostNetns)
      refuse("only on the host's interfaces a program can be adopted: bpfman holds no other network namespace open to give it back there");
    engine.adopt(hookOf(link), present, *priority, scope);
  }
}

std::vector<Member> ChainMemberHook::chainNow(Core& core, const LinkRow& some, kj::WaitScope& scope) const {
  LinkRow link = some;
  auto turn = core.locks.take(lockOf(link), scope);
  ChainEngine& engine = engineOf(core, link);
  Present present = lookAt(core, engine, link, true, scope);
  ChainHook hook = hookOf(link);
  bool parked = false;
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) parked = row->parked;
  if (!parked && core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction).empty())  // all of ours went: so does their chain
    apply(core, engine, link, present, othersOf(present), nullptr, scope);
  link.id = 0;  // nobody is left out
  return membersOn(core, link, othersOf(present));
}

void ChainMemberHook::pin(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  const ProgramRow& program = KJ_ASSERT_NONNULL(core.catalog.program(link.programId));
  auto host = core.workers.host(scope);
  wire::Publish member{loadedProgram(program.load, program.index), pinOf(link)};
  requireOk(host->worker.call(wire::Op::publish, member).wait(scope), "pin a member of the chain");
}

void ChainMemberHook::park(Core& core, const LinkRow& place, Place& in, bool parked, kj::WaitScope& scope) const {
  ChainHook hook = hookOf(place);
  auto turn = core.locks.take(lockOf(place), scope);
  core.changes.requireFree(core, place);
  forgetIfGone(core, place, in, scope);
  ChainEngine& engine = engineOf(core, place);
  Present present = lookAt(core, engine, place, true, scope);
  kj::Maybe<DispatcherRow> row;
  KJ_IF_MAYBE (known, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) row = DispatcherRow(*known);
  if (row == nullptr && !parked) refuse("no dispatcher is parked on ", place.interface.c_str());
  if (row == nullptr) row = engine.apply(hook, present, {chainOfMembers(core, othersOf(present), present), true, 0}, in, scope).row;
  KJ_IF_MAYBE (dispatcher, row) {
    dispatcher->parked = parked;
    core.catalog.put(*dispatcher);
  }
  bool empty = core.catalog.linksOn(place.kind, place.nsid, place.ifindex, place.direction).empty();
  if (!parked && empty) apply(core, engine, place, present, othersOf(present), nullptr, scope);
}

void ChainMemberHook::follow(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  auto turn = core.locks.take(lockOf(link), scope);
  forgetIfGone(core, link, *core.workers.host(scope), scope);
}

// The chain as these members; what comes of it is written down at once. Without members the dispatcher stays where it is parked, and where
// members only pause or may come back.
void ChainMemberHook::apply(Core& core, ChainEngine& engine, const LinkRow& link, Present& present, const std::vector<Member>& members,
                            kj::Maybe<Place&> place, kj::WaitScope& scope, uint64_t until) const {
  ChainHook hook = hookOf(link);
  ChainWish wish{chainOfMembers(core, members, present), false, until};
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
    wish.stays = row->parked;
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
      wish.stays |= other->state == LinkRow::attached && other->absence != LinkRow::none;
  }
  Applied applied = engine.apply(hook, present, wish, place, scope);
  core.catalog.transaction([&]() {
    KJ_IF_MAYBE (row, applied.row)
      core.catalog.put(*row);
    else
      core.catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
    for (size_t i = 0; i < members.size(); ++i)
      KJ_IF_MAYBE (known, core.catalog.link(members[i].link)) {
        LinkRow row = *known;
        uint32_t shared = 0;
        KJ_IF_MAYBE (dispatcher, applied.row) shared = dispatcher->kernelLinkId;
        row.kernelLinkId = i < applied.links.size() ? applied.links[i] : shared != 0 ? shared : row.kernelLinkId;
        if (!(row == *known)) core.catalog.put(row);
      }
    for (const LinkRow* absent : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction)) {
      if (absent->absence == LinkRow::none || absent->kernelLinkId == 0) continue;
      LinkRow row = *absent;
      row.kernelLinkId = 0;
      core.catalog.put(row);
    }
  });
}

}  // namespace bpfman
