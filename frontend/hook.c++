#include "frontend/hook.h"

#include <linux/bpf.h>

#include <kj/debug.h>
#include <kj/vector.h>

#include "frontend/clock.h"
#include "frontend/refuse.h"

namespace bpfman {

using schema::ProgramType;

// The types that this version loads and attaches. A new one is a row and a file.
static const HookType HOOKS[] = {
    {ProgramType::XDP, BPF_PROG_TYPE_XDP, BPF_XDP, schema::Place::XDP, xdpHook},
    {ProgramType::TC, BPF_PROG_TYPE_SCHED_CLS, 0, schema::Place::TC, tcHook},
    {ProgramType::TCX, BPF_PROG_TYPE_SCHED_CLS, 0, schema::Place::TCX, tcxHook},
    {ProgramType::TRACEPOINT, BPF_PROG_TYPE_TRACEPOINT, 0, schema::Place::TRACEPOINT, tracepointHook},
    {ProgramType::RAW_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT, 0, schema::Place::RAW_TRACEPOINT, rawTracepointHook},
    {ProgramType::TP_BTF, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, schema::Place::TP_BTF, tpBtfHook},
    {ProgramType::CGROUP_SKB, BPF_PROG_TYPE_CGROUP_SKB, 0, schema::Place::CGROUP, cgroupHook},
    {ProgramType::UPROBE, BPF_PROG_TYPE_KPROBE, 0, schema::Place::UPROBE, uprobeHook},
    {ProgramType::URETPROBE, BPF_PROG_TYPE_KPROBE, 0, schema::Place::UPROBE, uprobeHook},
};

kj::Maybe<const HookType&> hookOf(ProgramType type) {
  for (const HookType& hook : HOOKS)
    if (hook.type == type) return hook;
  return nullptr;
}

// "uprobe or uretprobe"
kj::String nameOf(schema::Place::Which place) {
  kj::Vector<kj::StringPtr> names;
  for (const HookType& hook : HOOKS)
    if (hook.place == place) names.add(typeName(hook.type));
  return kj::strArray(names, " or ");
}

Plan Hook::plan(Core&, AttachWish& wish, kj::WaitScope&) const {
  refuse("there is no order among ", typeName(static_cast<ProgramType>(wish.program.type)), " programs; xdp, tc and tcx have one");
}

LinkRow newLink(Core& core, const AttachWish& wish) {
  LinkRow link;
  KJ_IF_MAYBE (waiting, wish.again) {
    link = *waiting;
    link.state = LinkRow::attaching;
    return link;
  }
  link.id = core.catalog.nextLink();
  link.programId = wish.program.id;
  link.kind = wish.program.type;
  link.metadata = wish.metadata;
  link.createdAt = wallClock();
  link.uid = wish.uid;
  link.request = wish.request;
  return link;
}

void beginDetach(Core& core, LinkRow& link) {
  if (link.state == LinkRow::attaching && !link.waiting.empty()) return;
  link.state = LinkRow::detaching;
  core.catalog.put(link);
}

Target resolve(Core& core, AttachWish& wish, kj::StringPtr interface, int32_t priority, kj::WaitScope& scope) {
  AttachTarget target{static_cast<ProgramType>(wish.program.type), interface};
  target.priority = priority;
  target.nsid = core.workers.hostNamespace();
  KJ_IF_MAYBE (netns, wish.netns) {
    target.nsid = netns->nsid();
    target.ownNetns = netns->ownedBy(wish.uid);
  }
  target.hostNetns = core.workers.isHost(target.nsid);
  wish.rights.requireAttach(target);
  if (priority < 0) refuse("priority ", priority, ": it must be 0 or more");

  auto place = core.workers.in(wish.netns, scope);
  KJ_IF_MAYBE (found, Netlink(place->netlink).interfaceNamed(interface)) return {kj::mv(place), found->name, found->index};
  refuse("interface ", interface, " does not exist in ", target.hostNetns ? "the host's network namespace" : "that network namespace",
         "; 'ip link' lists those that do");
}

void requireSame(const Target& target) {
  KJ_IF_MAYBE (now, Netlink(target.place->netlink).interfaceAt(target.ifindex))
    if (now->name == target.interface) return;
  refuse("interface ", target.interface.c_str(), " went away while a program was being attached to it");
}

void fillTarget(LinkRow& link, const Target& target, const AttachWish& wish, kj::StringPtr netnsPath) {
  link.interface = target.interface;
  link.ifindex = target.ifindex;
  link.nsid = target.place->nsid;
  link.hostNetns = target.place->host;
  link.netnsPath = netnsPath.cStr();
}

void removePin(Core& core, const wire::Pin& pin, kj::WaitScope& scope) {
  auto place = core.workers.host(scope);
  requireOk(place->worker.call(wire::Op::remove, wire::Remove{pin}).wait(scope), "remove a pin");
}

bool isThere(Core& core, const LinkRow& link, kj::WaitScope& scope) {
  return !link.hostNetns || Netlink(core.workers.host(scope)->netlink).interfaceAt(link.ifindex) != nullptr;
}

bool isOn(Core& core, const wire::Pin& link, uint32_t ifindex, kj::WaitScope& scope) {
  auto place = core.workers.host(scope);
  auto reply = place->worker.call(wire::Op::inspect, wire::Inspect{link}).wait(scope);
  return reply.result >= 0 && infoOf<bpf_link_info>(reply).tcx.ifindex == ifindex;
}

}  // namespace bpfman
