// Programs of a cgroup: they run for what its processes do, those in cgroups beneath it included.
#include <linux/bpf.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class CgroupHook final : public SingleHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core& core, AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope&) const override {
    auto cgroup = core.intake.cgroup(kj::mv(wish.target));
    AttachTarget target{static_cast<schema::ProgramType>(wish.program.type), ""};
    target.cgroup = cgroup.path;
    target.own = wish.uid != 0 && cgroup.owner == wish.uid;
    wish.rights.requireAttach(target);

    auto direction = wish.place.getCgroup().getDirection();
    link.direction = static_cast<uint8_t>(direction);
    link.target = cgroup.path.empty() ? kj::str("cgroup ", cgroup.id).cStr() : cgroup.path;
    wanted.kind = wire::LinkKind::cgroup;
    wanted.attachType = direction == schema::Direction::EGRESS ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS;
    return kj::mv(cgroup.directory);
  }
};

const CgroupHook CGROUP;

}  // namespace

const Hook& cgroupHook = CGROUP;

}  // namespace bpfman
