// TCX: the kernel keeps several programs on one hook and their order; we say where a new one goes. Programs of others count and keep
// their places.
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

class TcxHook final : public Hook {
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
    return pinAt(link.direction ? wire::Dir::tcxEgress : wire::Dir::tcxIngress, static_cast<uint32_t>(link.nsid), link.ifindex,
                 link.programId);
  }

 private:
  struct Attempt {
    Target target;
    LinkRow link;
    uint32_t attachType() const { return link.direction ? BPF_TCX_EGRESS : BPF_TCX_INGRESS; }
  };

  static Attempt prepare(Core& core, AttachWish& wish, kj::WaitScope& scope) {
    auto place = wish.place.getTcx();
    Target target = resolve(core, wish, place.getInterface(), place.getPriority(), scope);
    LinkRow link = newLink(core, wish);
    fillTarget(link, target, wish, place.getNetnsPath());
    link.priority = place.getPriority();
    link.direction = static_cast<uint8_t>(place.getDirection());
    return {kj::mv(target), std::move(link)};
  }

  static std::string lockOf(const LinkRow& link) { return kj::str("tcx:", link.nsid, ':', link.ifindex, ':', link.direction).cStr(); }

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

  static void requireNew(Core& core, const LinkRow& link) {
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
      if (other->programId == link.programId)
        refuse("program ", link.programId, " is already attached to ", link.interface.c_str(), ' ', link.direction ? "egress" : "ingress",
               " as link ", other->id, "; detach it first");
  }

  // At its place in the order that the kernel has at that moment; if somebody was faster, again.
  static uint32_t create(Core& core, AttachWish& wish, Attempt& attempt, kj::WaitScope& scope) {
    LinkRow& link = attempt.link;
    wire::CreateLink wanted{};
    wanted.program = loadedProgram(wish.program.load, wish.program.index);
    wanted.to = tcxHook.pinOf(link);
    wanted.kind = wire::LinkKind::tcx;
    wanted.attachType = attempt.attachType();
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
  static std::vector<Member> inKernel(Core& core, Attempt& attempt, uint64_t& revision, kj::WaitScope& scope) {
    const LinkRow& link = attempt.link;
    auto answer = attempt.target.place->worker.call(wire::Op::query, wire::Query{link.ifindex, attempt.attachType(), 0, 0}).wait(scope);
    if (answer.result == -EINVAL) refuse("this kernel has no TCX: it needs Linux 6.6 or newer");
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

const TcxHook INSTANCE;

}  // namespace

const Hook& tcxHook = INSTANCE;

}  // namespace bpfman
