// XDP: a member of its interface's chain. The chain itself is the engine's.
#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/chain.h"
#include "frontend/hook.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr int32_t PRIORITY_UNSAID = -1, DEFAULT_PRIORITY = 50;

class XdpHook final : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    auto place = wish.place.getXdp();
    std::vector<int32_t> verdicts;
    for (auto verdict : place.getProceedOn()) verdicts.push_back(verdict);
    // Where the caller says nothing, the object does, and then the libxdp protocol.
    uint32_t mask = verdicts.empty() && wish.program.runProceedOn ? wish.program.runProceedOn | 1u << 31
                                                                  : proceedOnMask(kj::arrayPtr(verdicts.data(), verdicts.size()));
    int32_t priority = place.getPriority();
    if (priority == PRIORITY_UNSAID) priority = wish.program.runPriority >= 0 ? wish.program.runPriority : DEFAULT_PRIORITY;
    Target target = resolve(core, wish, place.getInterface(), priority, scope);

    LinkRow link = newLink(core, wish);
    fillTarget(link, target, wish, place.getNetnsPath());
    link.priority = priority;
    link.proceedOn = mask;
    link.proceedOnList = proceedOnList(mask);

    auto turn = core.locks.take(lockOf(link), scope);
    forgetIfGone(core, link, scope);
    ChainEngine& engine = engineFor(core, link, wish.program);
    Present present = lookAt(core, engine, link, scope);
    if (present.locked != nullptr) refuse("interface ", link.interface.c_str(), ' ', present.locked);
    std::vector<Member> members = membersOf(core, link, present);
    members.push_back(memberFrom(link, wish.program));
    members = orderMembers(std::move(members));  // refuses one too many before anything is changed
    core.catalog.put(link);                      // the journal: state attaching

    auto failure = kj::runCatchingExceptions([&]() {
      auto host = core.workers.host(scope);
      wire::Publish member{loadedProgram(wish.program.load, wish.program.index), pinOf(link)};
      requireOk(host->worker.call(wire::Op::publish, member).wait(scope), "pin a member of the chain");
      link.state = LinkRow::attached;
      apply(core, engine, link, present, members, *target.place, link, scope);
      requireSame(target);
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

  // The one that keeps the hook's chain, which must be the one that the program was loaded for.
  static ChainEngine& engineFor(Core& core, const LinkRow& link, const ProgramRow& program) {
    ChainEngine& engine = core.engines.of(program);
    KJ_IF_MAYBE (row, core.catalog.dispatcher("xdp", link.nsid, link.ifindex))
      if (row->engine != engine.name().cStr())
        refuse("the chain on ", link.interface.c_str(), " is kept by engine ", row->engine.c_str(), ", but program ", program.id,
               " was loaded for engine ", engine.name(), "; load it again, or detach what is on the interface first");
    return engine;
  }

  static ChainEngine& engineOf(Core& core, const LinkRow& link) {
    KJ_IF_MAYBE (row, core.catalog.dispatcher("xdp", link.nsid, link.ifindex)) return core.engines.named(row->engine);
    KJ_IF_MAYBE (program, core.catalog.program(link.programId)) return core.engines.of(*program);
    return core.engines.preferred();
  }

  // What is there now; ours that another tool took out are forgotten.
  Present lookAt(Core& core, ChainEngine& engine, const LinkRow& link, kj::WaitScope& scope) const {
    std::vector<OursInChain> ours;
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex))
      ours.push_back({other->id, other->programId, other->state == LinkRow::attached});
    Present present = engine.look(hookOf(link), ours, scope);
    for (uint32_t id : present.gone)
      KJ_IF_MAYBE (row, core.catalog.link(id)) {
        LinkRow gone = *row;
        spdlog::warn("link {} (program {}) on {} was taken out by another tool: it is forgotten", id, gone.programId, gone.interface);
        removePin(core, pinOf(gone), scope);
        core.catalog.eraseLink(id);
      }
    return present;
  }

  // The chain as these members; what comes of it is written down at once. `changed`: the row of a link that joins.
  void apply(Core& core, ChainEngine& engine, const LinkRow& link, Present& present, const std::vector<Member>& members,
             kj::Maybe<Place&> place, kj::Maybe<LinkRow&> changed, kj::WaitScope& scope) const {
    Applied applied = engine.apply(hookOf(link), present, chainOf(core, members, present, link), place, scope);
    core.catalog.transaction([&]() {
      KJ_IF_MAYBE (row, applied.row)
        core.catalog.put(*row);
      else
        core.catalog.eraseDispatcher("xdp", link.nsid, link.ifindex);
      for (size_t i = 0; i < members.size(); ++i) {
        kj::Maybe<LinkRow> row;
        KJ_IF_MAYBE (newcomer, changed)
          if (newcomer->id == members[i].link) row = *newcomer;
        if (row == nullptr)
          KJ_IF_MAYBE (known, core.catalog.link(members[i].link)) row = LinkRow(*known);
        KJ_IF_MAYBE (member, row) {
          if (i < applied.links.size()) member->kernelLinkId = applied.links[i];
          else KJ_IF_MAYBE (dispatcher, applied.row) member->kernelLinkId = dispatcher->kernelLinkId;
          core.catalog.put(*member);
        }
      }
    });
  }

  // Those that are attached; the one that is being changed is not.
  static std::vector<Member> membersOf(Core& core, const LinkRow& link, const Present& present) {
    std::vector<Member> members;
    for (auto& other : present.others)
      members.push_back({0, other.program, other.name, static_cast<int32_t>(kj::min(other.priority, INT32_MAX)), other.proceedOn, 0, 0, true});
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex))
      if (other->state == LinkRow::attached && other->id != link.id)
        KJ_IF_MAYBE (program, core.catalog.program(other->programId)) members.push_back(memberFrom(*other, *program));
    return members;
  }

  static std::vector<ChainMember> chainOf(Core& core, const std::vector<Member>& members, const Present& present, const LinkRow& link) {
    std::vector<ChainMember> chain;
    for (const Member& member : members) {
      ChainMember next{0, 0, member.proceedOn, member.program, member.link, member.name, member.priority};
      for (auto& other : present.others)
        if (member.foreign && other.program == member.program) {
          next.theirs = pinAt(wire::Dir::xdpPrograms, link.ifindex, present.program, other.position);
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

  // A dispatcher whose link is no longer on this interface (the interface or its namespace went, and another has its numbers now; or the
  // pin was removed by hand) runs for nobody: it goes with its members before a new one is made.
  void forgetIfGone(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    KJ_IF_MAYBE (row, core.catalog.dispatcher("xdp", link.nsid, link.ifindex)) {
      if (row->kernelLinkId == 0) return;  // attached by netlink: what is there is looked at anyway
    } else {
      return;
    }
    if (isOn(core, pinAt(wire::Dir::dispatchers, static_cast<uint32_t>(link.nsid), link.ifindex, 0, "link"), link.ifindex, scope)) return;
    std::vector<LinkRow> members;
    for (auto member : core.catalog.linksOn(link.kind, link.nsid, link.ifindex)) members.push_back(*member);
    spdlog::warn("the dispatcher on {} (index {}) is gone from the kernel: its {} links are forgotten", link.interface, link.ifindex,
                 members.size());
    for (auto& member : members) {
      removePin(core, pinOf(member), scope);
      core.catalog.eraseLink(member.id);
    }
    Present none;
    engineOf(core, link).apply(hookOf(link), none, {}, nullptr, scope);
    core.catalog.eraseDispatcher("xdp", link.nsid, link.ifindex);
  }

  // The chain without this link. An interface that is gone takes its dispatcher along: then there is nothing to do but to forget.
  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    ChainEngine& engine = engineOf(core, link);
    Present present = lookAt(core, engine, link, scope);
    auto rest = orderMembers(membersOf(core, link, present));
    apply(core, engine, link, present, rest, nullptr, nullptr, scope);
    removePin(core, pinOf(link), scope);
    core.catalog.eraseLink(link.id);
  }
};

const XdpHook INSTANCE;

}  // namespace

const Hook& xdpHook = INSTANCE;

}  // namespace bpfman
