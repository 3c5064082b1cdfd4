// TCX: the kernel keeps several programs on one hook and their order; we say where a new one goes. Programs of others count and keep
// their places.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/chain.h"
#include "frontend/hook.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr int TRIES = 16;  // when others change the hook at the same time

class TcxHook final : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const override {
    auto place = wish.place.getTcx();
    Target target = resolve(core, wish, place.getInterface(), place.getPriority(), scope);
    LinkRow link = newLink(core, wish);
    fillTarget(link, target, wish, place.getNetnsPath());
    link.priority = place.getPriority();
    link.direction = static_cast<uint8_t>(place.getDirection());

    auto turn = core.locks.take(lockOf(link), scope);
    forgetGone(core, link, scope);
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
      if (other->programId == link.programId)
        refuse("program ", link.programId, " is already attached to ", link.interface.c_str(), ' ', link.direction ? "egress" : "ingress",
               " as link ", other->id, "; detach it first");
    core.catalog.put(link);  // the journal: state attaching
    auto failure = kj::runCatchingExceptions([&]() {
      link.kernelLinkId = create(core, wish, target, link, scope);
      requireSame(target);
      link.state = LinkRow::attached;
      core.catalog.put(link);
    });
    KJ_IF_MAYBE (exception, failure) {
      takeOut(core, link, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    return link;
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
    return pinAt(link.direction ? wire::Dir::tcxEgress : wire::Dir::tcxIngress, static_cast<uint32_t>(link.nsid), link.ifindex,
                 link.programId);
  }

 private:
  static std::string lockOf(const LinkRow& link) { return kj::str("tcx:", link.nsid, ':', link.ifindex, ':', link.direction).cStr(); }

  // Links that are no longer on this interface: it or its namespace went, and another has its numbers now.
  void forgetGone(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    std::vector<LinkRow> rows;
    for (auto row : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction)) rows.push_back(*row);
    for (auto& row : rows)
      if (row.programId == link.programId && !isOn(core, pinOf(row), row.ifindex, scope)) takeOut(core, row, scope);
  }

  // At its place in the order that the kernel has at that moment; if somebody was faster, again.
  uint32_t create(Core& core, const AttachWish& wish, Target& target, const LinkRow& link, kj::WaitScope& scope) const {
    uint32_t attachType = link.direction ? BPF_TCX_EGRESS : BPF_TCX_INGRESS;
    for (int i = 0; i < TRIES; ++i) {
      auto answer = target.place->worker.call(wire::Op::query, wire::Query{link.ifindex, attachType, 0, 0}).wait(scope);
      if (answer.result == -EINVAL) refuse("this kernel has no TCX: it needs Linux 6.6 or newer");
      requireOk(answer, kj::str("look at the programs on ", link.interface.c_str()));
      wire::QueryAnswer state;
      auto order = existing(core, link, answer, state);
      Anchor anchor = anchorFor(link.priority, kj::arrayPtr(order.data(), order.size()));

      wire::CreateLink wanted{};
      wanted.program = loadedProgram(wish.program.load, wish.program.index);
      wanted.to = pinOf(link);
      wanted.kind = wire::LinkKind::tcx;
      wanted.attachType = attachType;
      wanted.interface = link.ifindex;
      wanted.expectedRevision = state.revision;
      if (anchor.where != Anchor::atEnd) {
        wanted.flags = (anchor.where == Anchor::before ? BPF_F_BEFORE : BPF_F_AFTER) | BPF_F_ID | (anchor.isLink ? BPF_F_LINK : 0);
        wanted.relative = anchor.id;
      }
      auto made = target.place->worker.call(wire::Op::createLink, wanted).wait(scope);
      if (made.result != -ESTALE && made.result != -ENOENT) return requireOk(made, kj::str("attach to ", link.interface.c_str()));
    }
    refuse(kj::Exception::Type::OVERLOADED, kj::str("the programs on ", link.interface.c_str(), " change all the time; try again"));
  }

  static std::vector<TcxMember> existing(Core& core, const LinkRow& link, const WorkerReply& answer, wire::QueryAnswer& state) {
    KJ_REQUIRE(answer.tail.size() >= sizeof state);
    memcpy(&state, answer.tail.begin(), sizeof state);
    auto ids = answer.tail.slice(sizeof state, answer.tail.size());
    KJ_REQUIRE(ids.size() == 2 * state.count * sizeof(uint32_t));
    std::map<uint32_t, int32_t> ours;  // kernel link id -> priority
    for (const LinkRow* other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
      if (other->state == LinkRow::attached) ours[other->kernelLinkId] = other->priority;
    std::vector<TcxMember> members(state.count);
    for (size_t i = 0; i < state.count; ++i) {
      memcpy(&members[i].program, ids.begin() + i * sizeof(uint32_t), sizeof(uint32_t));
      memcpy(&members[i].kernelLink, ids.begin() + (state.count + i) * sizeof(uint32_t), sizeof(uint32_t));
      auto mine = ours.find(members[i].kernelLink);
      members[i].ours = mine != ours.end();
      if (members[i].ours) members[i].priority = mine->second;
    }
    return members;
  }

  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    removePin(core, pinOf(link), scope);
    core.catalog.eraseLink(link.id);
  }
};

const TcxHook INSTANCE;

}  // namespace

const Hook& tcxHook = INSTANCE;

}  // namespace bpfman
