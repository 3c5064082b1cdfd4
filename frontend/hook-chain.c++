#include "frontend/hook-chain.h"

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/arrangement.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

std::vector<ChainMember> chainOfMembers(Core& core, const std::vector<Member>& members) {
  std::vector<ChainMember> chain;
  for (const Member& member : members)
    KJ_IF_MAYBE (program, core.catalog.program(member.program)) chain.push_back({program->load, program->index, member.proceedOn});
  return chain;
}

}  // namespace

// Refuses whatever an attach refuses before it changes anything. A plan forgets nobody: a chain that is gone from the kernel is then shown
// once more.
ChainMemberHook::Attempt ChainMemberHook::prepare(Core& core, AttachWish& wish, bool forget, kj::WaitScope& scope) const {
  WantedMember wanted = shared.wanted(wish.place);
  std::vector<int32_t> verdicts;
  for (int32_t verdict : wanted.proceedOn) verdicts.push_back(verdict);
  uint32_t mask = proceedOnMask(shared.verdicts, verdicts);
  Target target = resolve(core, wish, wanted.interface, wanted.priority, scope);

  LinkRow link = newLink(core, wish);
  fillTarget(link, target, wish, wanted.netnsPath);
  link.direction = static_cast<uint8_t>(wanted.direction);
  link.priority = wanted.priority;
  link.proceedOn = mask;
  link.proceedOnList = proceedOnList(shared.verdicts, mask);

  auto turn = core.locks.take(lockOf(link), scope);
  if (forget) forgetIfGone(core, link, *target.place, scope);
  std::vector<Member> now = membersOn(core, link), then = now;
  Member newcomer = memberFrom(core, link, wish.program);
  resolveNeighbours(wish, now, link, newcomer);
  placeOf(newcomer, now, orderRulesOf(core));
  then.push_back(newcomer);
  requireFit(then, core.engine.capacity());
  then = orderMembers(std::move(then), orderRulesOf(core));
  return {kj::mv(target), std::move(link), std::move(now), std::move(then), kj::mv(turn)};
}

LinkRow ChainMemberHook::attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  Attempt attempt = prepare(core, wish, true, scope);
  LinkRow& link = attempt.link;
  core.catalog.put(link);  // the journal: state attaching
  auto failure = kj::runCatchingExceptions([&]() {
    auto host = core.workers.host(scope);
    wire::Publish member{loadedProgram(wish.program.load, wish.program.index), pinOf(link)};
    requireOk(host->worker.call(wire::Op::publish, member).wait(scope), "pin a member of the chain");
    auto dispatcher = core.engine.apply(hookOf(link), chainOfMembers(core, attempt.then), *attempt.target.place, scope);
    core.catalog.put(KJ_ASSERT_NONNULL(dispatcher));
    requireSame(attempt.target);
    link.state = LinkRow::attached;
    link.kernelLinkId = KJ_ASSERT_NONNULL(dispatcher).kernelLinkId;
    core.catalog.put(link);
  });
  KJ_IF_MAYBE (exception, failure) {
    takeOut(core, link, scope);
    kj::throwFatalException(kj::mv(*exception));
  }
  return KJ_ASSERT_NONNULL(core.catalog.link(link.id));
}

void ChainMemberHook::detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const {
  LinkRow link = old;
  auto turn = core.locks.take(lockOf(link), scope);
  if (core.catalog.link(link.id) == nullptr) refuse("link ", link.id, " does not exist");
  link.state = LinkRow::detaching;
  core.catalog.put(link);
  takeOut(core, link, scope);
}

Plan ChainMemberHook::plan(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  Attempt attempt = prepare(core, wish, false, scope);
  return {std::move(attempt.now), std::move(attempt.then), attempt.link.id};
}

wire::Pin ChainMemberHook::pinOf(const LinkRow& link) const {
  return pinAt(shared.members[link.direction], static_cast<uint32_t>(link.nsid), link.ifindex, link.id);
}

kj::Maybe<ChainHook> ChainMemberHook::chainOf(const LinkRow& link) const { return hookOf(link); }

ChainHook ChainMemberHook::hookOf(const LinkRow& link) const {
  return {shared.dispatcherTypes[link.direction], link.nsid, link.ifindex, link.interface, link.netnsPath, link.hostNetns};
}

std::string ChainMemberHook::lockOf(const LinkRow& link) const {
  return kj::str(shared.dispatcherTypes[link.direction], ':', link.nsid, ':', link.ifindex).cStr();
}

// A dispatcher that is no longer on this interface (the interface or its namespace went, and another has its numbers now; or somebody took
// it away by hand) runs for nobody: it goes with its members before a new one is made.
void ChainMemberHook::forgetIfGone(Core& core, const LinkRow& link, Place& place, kj::WaitScope& scope) const {
  ChainHook hook = hookOf(link);
  KJ_IF_MAYBE (row, core.catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
    if (dispatcherIsOn(core.workers, place, hook, DispatcherRow(*row), scope)) return;
  } else {
    return;
  }
  std::vector<LinkRow> members;
  for (auto member : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction)) members.push_back(*member);
  spdlog::warn("the {} dispatcher on {} (index {}) is gone from the kernel: its {} links are forgotten", hook.type, link.interface,
               link.ifindex, members.size());
  for (auto& member : members) {
    removePin(core, pinOf(member), scope);
    core.catalog.eraseLink(member.id);
  }
  core.engine.apply(hook, {}, nullptr, scope);
  core.catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
}

// The chain without this link. An interface that is gone takes its dispatcher along: then there is nothing to do but to forget.
void ChainMemberHook::takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  ChainHook hook = hookOf(link);
  auto dispatcher = core.engine.apply(hook, chainOfMembers(core, membersOn(core, link)), nullptr, scope);
  removePin(core, pinOf(link), scope);
  core.catalog.transaction([&]() {
    core.catalog.eraseLink(link.id);
    KJ_IF_MAYBE (row, dispatcher)
      core.catalog.put(*row);
    else
      core.catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
  });
}

}  // namespace bpfman
