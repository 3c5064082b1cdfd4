// XDP: a member of its interface's chain. The chain itself is the engine's.
#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/chain.h"
#include "frontend/hook.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class XdpHook final : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    auto place = wish.place.getXdp();
    std::vector<int32_t> verdicts;
    for (auto verdict : place.getProceedOn()) verdicts.push_back(verdict);
    uint32_t mask = proceedOnMask(kj::arrayPtr(verdicts.data(), verdicts.size()));
    Target target = resolve(core, wish, place.getInterface(), place.getPriority(), scope);

    LinkRow link = newLink(core, wish);
    fillTarget(link, target, wish, place.getNetnsPath());
    link.priority = place.getPriority();
    link.proceedOn = mask;
    link.proceedOnList = proceedOnList(mask);

    auto turn = core.locks.take(lockOf(link), scope);
    forgetIfGone(core, link, scope);
    std::vector<Member> members = membersOf(core, link);
    members.push_back(memberFrom(link, wish.program));
    members = orderMembers(std::move(members));  // refuses one too many before anything is changed
    core.catalog.put(link);                      // the journal: state attaching

    auto failure = kj::runCatchingExceptions([&]() {
      auto host = core.workers.host(scope);
      wire::Publish member{loadedProgram(wish.program.load, wish.program.index), pinOf(link)};
      requireOk(host->worker.call(wire::Op::publish, member).wait(scope), "pin a member of the chain");
      auto dispatcher = core.engine.apply(hookOf(link), chainOf(core, members), *target.place, scope);
      core.catalog.put(KJ_ASSERT_NONNULL(dispatcher));
      requireSame(target);
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

  void detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const override {
    LinkRow link = old;
    auto turn = core.locks.take(lockOf(link), scope);
    if (core.catalog.link(link.id) == nullptr) refuse("link ", link.id, " does not exist");
    link.state = LinkRow::detaching;
    core.catalog.put(link);
    takeOut(core, link, scope);
  }

  wire::Pin pinOf(const LinkRow& link) const override {
    return pinAt(wire::Dir::members, static_cast<uint32_t>(link.nsid), link.ifindex, link.id);
  }

  bool kernelLinkIsOwn() const override { return false; }

 private:
  static std::string lockOf(const LinkRow& link) { return kj::str("xdp:", link.nsid, ':', link.ifindex).cStr(); }

  static ChainHook hookOf(const LinkRow& link) { return {"xdp", link.nsid, link.ifindex, link.interface, link.netnsPath, link.hostNetns}; }

  static Member memberFrom(const LinkRow& link, const ProgramRow& program) {
    return {link.id, program.id, program.name, link.priority, link.proceedOn, link.id, program.tailCalls, false};
  }

  // Those that are attached; the one that is being changed is not.
  static std::vector<Member> membersOf(Core& core, const LinkRow& link) {
    std::vector<Member> members;
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex))
      if (other->state == LinkRow::attached && other->id != link.id)
        KJ_IF_MAYBE (program, core.catalog.program(other->programId)) members.push_back(memberFrom(*other, *program));
    return members;
  }

  static std::vector<ChainMember> chainOf(Core& core, const std::vector<Member>& members) {
    std::vector<ChainMember> chain;
    for (const Member& member : members)
      KJ_IF_MAYBE (program, core.catalog.program(member.program)) chain.push_back({program->load, program->index, member.proceedOn});
    return chain;
  }

  // A dispatcher whose link is no longer on this interface (the interface or its namespace went, and another has its numbers now; or the
  // pin was removed by hand) runs for nobody: it goes with its members before a new one is made.
  void forgetIfGone(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    if (core.catalog.dispatcher("xdp", link.nsid, link.ifindex) == nullptr) return;
    if (isOn(core, pinAt(wire::Dir::dispatchers, static_cast<uint32_t>(link.nsid), link.ifindex, 0, "link"), link.ifindex, scope)) return;
    std::vector<LinkRow> members;
    for (auto member : core.catalog.linksOn(link.kind, link.nsid, link.ifindex)) members.push_back(*member);
    spdlog::warn("the dispatcher on {} (index {}) is gone from the kernel: its {} links are forgotten", link.interface, link.ifindex,
                 members.size());
    for (auto& member : members) {
      removePin(core, pinOf(member), scope);
      core.catalog.eraseLink(member.id);
    }
    core.engine.apply(hookOf(link), {}, nullptr, scope);
    core.catalog.eraseDispatcher("xdp", link.nsid, link.ifindex);
  }

  // The chain without this link. An interface that is gone takes its dispatcher along: then there is nothing to do but to forget.
  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    auto rest = orderMembers(membersOf(core, link));
    auto dispatcher = core.engine.apply(hookOf(link), chainOf(core, rest), nullptr, scope);
    removePin(core, pinOf(link), scope);
    core.catalog.transaction([&]() {
      core.catalog.eraseLink(link.id);
      KJ_IF_MAYBE (row, dispatcher)
        core.catalog.put(*row);
      else
        core.catalog.eraseDispatcher("xdp", link.nsid, link.ifindex);
    });
  }
};

const XdpHook INSTANCE;

}  // namespace

const Hook& xdpHook = INSTANCE;

}  // namespace bpfman
