// Programs of a cgroup: they run for what its processes do, those in cgroups beneath it included.
#include <linux/bpf.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

uint8_t directionOf(const AttachWish& wish) {
  auto direction = wish.place.getCgroup().getDirection();
  if (direction != schema::Direction::SECTION) return sideOf(direction);
  if (wish.program.attachTo != "ingress" && wish.program.attachTo != "egress")
    refuse("say which direction, ingress or egress: the section of ", wish.program.name.c_str(), " names none");
  return wish.program.attachTo == "egress";
}

// Next to whom, in the kernel's own order: a link of ours to the same cgroup; or, by its number, another tool's program without a link.
struct Anchor {
  uint32_t id, flags;
  uint32_t link = 0;  // ours
};

kj::Maybe<Anchor> anchorOf(Core& core, const LinkRow& link, schema::Neighbour::Reader neighbour) {
  for (auto& [id, other] : core.catalog.links()) {
    if (other.kind != link.kind || other.target != link.target || other.direction != link.direction || other.kernelLinkId == 0) continue;
    auto& program = KJ_ASSERT_NONNULL(core.catalog.program(other.programId));
    bool meant = neighbour.isLink()      ? id == neighbour.getLink()
                 : neighbour.isProgram() ? program.id == neighbour.getProgram()
                                         : neighbour.getName() == program.name.c_str();
    if (meant) return Anchor{other.kernelLinkId, BPF_F_ID | BPF_F_LINK, id};
  }
  if (neighbour.isProgram()) return Anchor{neighbour.getProgram(), BPF_F_ID};
  return nullptr;
}

void putNextTo(const Anchor& anchor, bool before, wire::CreateLink& wanted) {
  wanted.relative = anchor.id;
  wanted.flags = anchor.flags | (before ? BPF_F_BEFORE : BPF_F_AFTER);
}

// As it was before a reboot; who is gone means nothing. Whom a link names was attached before it, and so it is again.
void restoreOrder(Core& core, const LinkRow& link, wire::CreateLink& wanted) {
  for (bool before : {true, false})
    for (uint32_t id : before ? link.before : link.after)
      KJ_IF_MAYBE (other, core.catalog.link(id))
        if (other->kernelLinkId != 0) putNextTo({other->kernelLinkId, BPF_F_ID | BPF_F_LINK, id}, before, wanted);
}

void setOrder(Core& core, const AttachWish& wish, LinkRow& link, wire::CreateLink& wanted) {
  if (wish.again != nullptr) return restoreOrder(core, link, wanted);
  if (wish.before.size() + wish.after.size() == 0) return;
  if (wish.before.size() + wish.after.size() > 1) refuse("a cgroup's program can be put before or after one other, not several");
  bool before = wish.before.size() > 0;
  KJ_IF_MAYBE (anchor, anchorOf(core, link, before ? wish.before[0] : wish.after[0])) {
    putNextTo(*anchor, before, wanted);
    if (anchor->link != 0) (before ? link.before : link.after).push_back(anchor->link);
  } else {
    refuse("the program to be put next to is not attached to ", link.target.c_str(), "; 'bpfman link list' shows those that are");
  }
}

class CgroupHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    auto& row = rowOf(wish);
    auto cgroup = core.intake.cgroup(kj::mv(wish.target));
    AttachTarget target{row.type, ""};
    target.cgroup = cgroup.path;
    target.own = wish.uid != 0 && cgroup.owner == wish.uid;
    wish.rights.requireAttach(target);

    SingleLink made;
    bool packets = row.type == schema::ProgramType::CGROUP_SKB;
    if (packets) link.direction = directionOf(wish);
    link.target = cgroup.path.empty() ? kj::str("cgroup ", cgroup.id).cStr() : cgroup.path;
    made.wanted.kind = wire::LinkKind::cgroup;
    made.wanted.attachType = row.expectedAttachType;
    if (packets) made.wanted.attachType = link.direction ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS;
    setOrder(core, wish, link, made.wanted);
    made.target = kj::mv(cgroup.directory);
    return made;
  }
};

const CgroupHook CGROUP;

}  // namespace

const Hook& cgroupHook = CGROUP;

}  // namespace bpfman
