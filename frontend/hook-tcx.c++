// TCX, and netkit devices: the kernel keeps several programs on one hook and their order; we say where a new one goes. Programs of others
// count and keep their places.
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <kj/debug.h>

#include "frontend/arrangement.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr int TRIES = 16;  // when others change the hook at the same time

class KernelOrderedHook : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    Attempt attempt = prepare(core, wish, scope);
    LinkRow& link = attempt.link;
    auto turn = core.locks.take(lockOf(link), scope);
    forgetGone(core, link, scope);
    requireNew(core, link);
    core.catalog.put(link);  // the journal: state attaching
    auto failure = kj::runCatchingExceptions([&]() {
      link.kernelLinkId = create(core, wish, attempt, scope);
      requireSame(attempt.target);
      link.state = LinkRow::attached;
      link.waiting.clear();
      core.catalog.put(link);
    });
    KJ_IF_MAYBE (exception, failure) {
      KJ_IF_MAYBE (waiting, wish.again) link.state = LinkRow::attaching, link.waiting = waiting->waiting;
      takeOut(core, link, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    return link;
  }

  Plan plan(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    Attempt attempt = prepare(core, wish, scope);
    auto turn = core.locks.take(lockOf(attempt.link), scope);
    requireNew(core, attempt.link);
    uint64_t revision;
    std::vector<Member> now = inKernel(core, attempt, revision, scope), then = now;
    Member newcomer = memberFrom(core, attempt.link, wish.program);
    resolveNeighbours(wish, now, attempt.link, newcomer);
    auto rules = orderRulesOf(core);
    then.insert(then.begin() + placeOf(newcomer, now, rules), newcomer);
    explain(now, rules);
    explain(then, rules);
    return {std::move(now), std::move(then), attempt.link.id};
  }

  void detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const override {
    LinkRow link = old;
    auto turn = core.locks.take(lockOf(link), scope);
    if (core.catalog.link(link.id) == nullptr) refuse("link ", link.id, " does not exist");
    beginDetach(core, link);
    takeOut(core, link, scope);
  }

  void follow(Core& core, const LinkRow& link, kj::WaitScope& scope) const override {
    auto turn = core.locks.take(lockOf(link), scope);
    forgetGone(core, link, scope);
  }

  wire::Pin pinOf(const LinkRow& link) const override {
    return pinAt(sideOf(link).directory, static_cast<uint32_t>(link.nsid), link.ifindex, link.programId);
  }

 protected:
  struct Side {
    kj::StringPtr name;
    uint32_t attachType;
    wire::Dir directory;
  };
  struct Attempt {
    Target target;
    LinkRow link;
  };

  template <typename Group>
  static Attempt attemptAt(Core& core, AttachWish& wish, Group place, uint8_t direction, kj::WaitScope& scope) {
    Target target = resolve(core, wish, place.getInterface(), place.getPriority(), scope);
    LinkRow link = newLink(core, wish);
    fillTarget(link, target, wish, place.getNetnsPath());
    link.priority = place.getPriority();
    link.direction = direction;
    return {kj::mv(target), std::move(link)};
  }

 private:
  virtual Attempt prepare(Core& core, AttachWish& wish, kj::WaitScope& scope) const = 0;
  virtual const Side& sideOf(const LinkRow& link) const = 0;

  std::string lockOf(const LinkRow& link) const { return kj::str(sideOf(link).name, ':', link.nsid, ':', link.ifindex).cStr(); }

  // Links that are no longer on this interface: it or its namespace went, and another has its numbers now.
  void forgetGone(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    std::vector<LinkRow> rows;
    for (auto row : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction)) rows.push_back(*row);
    bool there = isThere(core, link, scope);
    for (auto& row : rows) {
      if (there && isOn(core, pinOf(row), row.ifindex, scope)) continue;
      removePin(core, pinOf(row), scope);
      lose(core, row, there ? kj::str("the kernel's link is not there") : notThere(row));
    }
  }

  void requireNew(Core& core, const LinkRow& link) const {
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
      if (other->programId == link.programId)
        refuse("program ", link.programId, " is already attached to ", link.interface.c_str(), ' ', sideOf(link).name, " as link ",
               other->id, "; detach it first");
  }

  // At its place in the order that the kernel has at that moment; if somebody was faster, again.
  uint32_t create(Core& core, AttachWish& wish, Attempt& attempt, kj::WaitScope& scope) const {
    LinkRow& link = attempt.link;
    wire::CreateLink wanted{};
    wanted.program = loadedProgram(wish.program.load, wish.program.index);
    wanted.to = pinOf(link);
    wanted.kind = wire::LinkKind::tcx;
    wanted.attachType = sideOf(link).attachType;
    wanted.interface = link.ifindex;
    for (int i = 0; i < TRIES; ++i) {
      if (wish.again == nullptr) link.before.clear(), link.after.clear();
      auto order = inKernel(core, attempt, wanted.expectedRevision, scope);
      Member newcomer = memberFrom(core, link, wish.program);
      resolveNeighbours(wish, order, link, newcomer);
      Anchor anchor = anchorFor(placeOf(newcomer, order, orderRulesOf(core)), order);
      wanted.flags = wanted.relative = 0;
      if (anchor.where != Anchor::atEnd) {
        wanted.flags = (anchor.where == Anchor::before ? BPF_F_BEFORE : BPF_F_AFTER) | BPF_F_ID | (anchor.isLink ? BPF_F_LINK : 0);
        wanted.relative = anchor.id;
      }
      auto made = attempt.target.place->worker.call(wire::Op::createLink, wanted).wait(scope);
      if (made.result != -ESTALE && made.result != -ENOENT) return requireOk(made, kj::str("attach to ", link.interface.c_str()));
    }
    refuse(kj::Exception::Type::OVERLOADED, kj::str("the programs on ", link.interface.c_str(), " change all the time; try again"));
  }

  // What the kernel has there, ours and foreign.
  std::vector<Member> inKernel(Core& core, Attempt& attempt, uint64_t& revision, kj::WaitScope& scope) const {
    const LinkRow& link = attempt.link;
    wire::Query query{link.ifindex, sideOf(link).attachType, 0, 0};
    auto answer = attempt.target.place->worker.call(wire::Op::query, query).wait(scope);
    auto& row = KJ_ASSERT_NONNULL(rowOf(static_cast<schema::ProgramType>(link.kind)));
    if (answer.result == -EINVAL) refuse("this kernel has no ", row.name, ": it needs ", row.needs);
    if (answer.result == -ENXIO || answer.result == -EACCES)
      refuse(link.interface.c_str(), " is not the primary of a pair of netkit devices");
    requireOk(answer, kj::str("look at the programs on ", link.interface.c_str()));
    wire::QueryAnswer state;
    KJ_REQUIRE(answer.tail.size() >= sizeof state);
    memcpy(&state, answer.tail.begin(), sizeof state);
    revision = state.revision;
    auto ids = answer.tail.slice(sizeof state, answer.tail.size());
    KJ_REQUIRE(ids.size() == 2 * state.count * sizeof(uint32_t));
    auto idAt = [&](size_t i) {
      uint32_t id;
      memcpy(&id, ids.begin() + i * sizeof id, sizeof id);
      return id;
    };
    std::vector<Member> ours = membersOn(core, link), members;
    for (size_t i = 0; i < state.count; ++i) {
      uint32_t kernelLink = idAt(state.count + i);
      auto mine = std::ranges::find_if(ours, [&](auto& member) { return kernelLink != 0 && member.kernelLink == kernelLink; });
      Member foreign;
      foreign.foreign = foreign.fixed = true;
      foreign.program = idAt(i), foreign.kernelLink = kernelLink;
      members.push_back(mine == ours.end() ? foreign : *mine);
    }
    return members;
  }

  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    removePin(core, pinOf(link), scope);
    takeBack(core, link);
  }
};

class TcxHook final : public KernelOrderedHook {
  Attempt prepare(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    auto place = wish.place.getTcx();
    return attemptAt(core, wish, place, bpfman::sideOf(place.getDirection()), scope);
  }
  const Side& sideOf(const LinkRow& link) const override {
    static const Side sides[] = {{"ingress"_kj, BPF_TCX_INGRESS, wire::Dir::tcxIngress},
                                 {"egress"_kj, BPF_TCX_EGRESS, wire::Dir::tcxEgress}};
    return sides[link.direction];
  }
};

class NetkitHook final : public KernelOrderedHook {
  Attempt prepare(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    auto place = wish.place.getNetkit();
    return attemptAt(core, wish, place, place.getPeer(), scope);
  }
  const Side& sideOf(const LinkRow& link) const override {
    static const Side sides[] = {{"primary"_kj, BPF_NETKIT_PRIMARY, wire::Dir::netkitPrimary},
                                 {"peer"_kj, BPF_NETKIT_PEER, wire::Dir::netkitPeer}};
    return sides[link.direction];
  }
};

const TcxHook TCX;
const NetkitHook NETKIT;

}  // namespace

const Hook& tcxHook = TCX;
const Hook& netkitHook = NETKIT;

}  // namespace bpfman
