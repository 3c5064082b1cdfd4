// Programs of a whole network namespace: socket lookup, flow dissector, netfilter. And those of the sockets in a map.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netfilter.h>

#include <kj/debug.h>

#include "frontend/hook-single.h"
#include "frontend/limited-text.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

void requireNamespace(const Core& core, const AttachWish& wish, LinkRow& link, kj::StringPtr path) {
  AttachTarget target{static_cast<schema::ProgramType>(wish.program.type), ""};
  target.nsid = core.workers.hostNamespace();
  KJ_IF_MAYBE (netns, wish.netns) {
    target.nsid = netns->nsid();
    target.ownNetns = netns->ownedBy(wish.uid);
  }
  target.hostNetns = core.workers.isHost(target.nsid);
  wish.rights.requireAttach(target);
  link.nsid = target.nsid;
  link.hostNetns = target.hostNetns;
  link.netnsPath = limitedText(path, "a network namespace's path", limits::PATH_BYTES);
}

kj::String namespaceOf(const LinkRow& link) {
  return link.hostNetns ? kj::str("the host's network namespace") : kj::str("network namespace ", link.nsid);
}

class NetnsHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireNamespace(core, wish, link, wish.again == nullptr ? wish.place.getNetns().getNetnsPath() : ""_kj);
    link.target = namespaceOf(link).cStr();
    made.wanted.kind = wire::LinkKind::netns;
    made.wanted.attachType = rowOf(wish).expectedAttachType;
    int descriptor = core.hostNetns;
    KJ_IF_MAYBE (netns, wish.netns) descriptor = netns->fd();
    KJ_SYSCALL(descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
    made.target = kj::AutoCloseFd(descriptor);
    return made;
  }
};

class NetfilterHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    constexpr kj::StringPtr hooks[] = {"prerouting"_kj, "input"_kj, "forward"_kj, "output"_kj, "postrouting"_kj};
    auto place = wish.place.getNetfilter();
    requireNamespace(core, wish, link, place.getNetnsPath());
    bool ipv6 = place.getFamily() == NFPROTO_IPV6;
    if (!ipv6 && place.getFamily() != NFPROTO_IPV4) refuse("netfilter family ", place.getFamily(), ": 2 is IPv4, 10 is IPv6");
    if (place.getHook() >= kj::size(hooks)) refuse("netfilter hook ", place.getHook(), ": 0 (prerouting) to 4 (postrouting)");
    if (place.getPriority() == INT32_MIN || place.getPriority() == INT32_MAX)
      refuse("netfilter priority ", place.getPriority(), ": the kernel keeps the first and the last place for itself");
    link.priority = place.getPriority();
    link.target =
        kj::str(ipv6 ? "ipv6 " : "ipv4 ", hooks[place.getHook()], " priority ", place.getPriority(), " in ", namespaceOf(link)).cStr();
    made.wanted.kind = wire::LinkKind::netfilter;
    made.wanted.attachType = BPF_NETFILTER;
    made.wanted.family = place.getFamily(), made.wanted.hook = place.getHook(), made.wanted.priority = place.getPriority();
    made.wanted.flags = place.getDefragment() ? BPF_F_NETFILTER_IP_DEFRAG : 0;
    return made;
  }
};

class SocketsHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireClass(wish);
    made.wanted.target = mapTarget(core, wish, wish.place.getSockets(), MapRight::write, link);
    made.wanted.kind = wire::LinkKind::sockets;
    made.wanted.attachType = rowOf(wish).expectedAttachType;
    return made;
  }
};

const NetnsHook NETNS;
const NetfilterHook NETFILTER;
const SocketsHook SOCKETS;

}  // namespace

const Hook& netnsHook = NETNS;
const Hook& netfilterHook = NETFILTER;
const Hook& socketsHook = SOCKETS;

}  // namespace bpfman
