#include "frontend/hook.h"

#include <linux/bpf.h>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/debug.h>
#include <kj/vector.h>

#include "frontend/clock.h"
#include "frontend/limited-text.h"
#include "frontend/refuse.h"

namespace bpfman {

using schema::ProgramType;

// One row for each kind of place.
static const struct {
  schema::Place::Which place;
  const Hook& hook;
} HOOKS[] = {
    {schema::Place::XDP, xdpHook},
    {schema::Place::TC, tcHook},
    {schema::Place::TCX, tcxHook},
    {schema::Place::NETKIT, netkitHook},
    {schema::Place::NETFILTER, netfilterHook},
    {schema::Place::NETNS, netnsHook},
    {schema::Place::SOCKETS, socketsHook},
    {schema::Place::STRUCT_OPS, structOpsHook},
    {schema::Place::CGROUP, cgroupHook},
    {schema::Place::TRACEPOINT, tracepointHook},
    {schema::Place::RAW_TRACEPOINT, rawTracepointHook},
    {schema::Place::TP_BTF, fixedHook},
    {schema::Place::FIXED, fixedHook},
    {schema::Place::KPROBE, kprobeHook},
    {schema::Place::KPROBE_MULTI, kprobeMultiHook},
    {schema::Place::UPROBE, uprobeHook},
    {schema::Place::UPROBE_MULTI, uprobeMultiHook},
    {schema::Place::PERF_EVENT, perfEventHook},
    {schema::Place::ITERATOR, iteratorHook},
};

kj::Maybe<HookType> hookOf(ProgramType type) {
  KJ_IF_MAYBE (row, rowOf(type))
    for (auto& [place, hook] : HOOKS)
      if (place == row->place) return HookType{*row, hook};
  return nullptr;
}

Plan Hook::plan(Core&, AttachWish& wish, kj::WaitScope&) const {
  refuse("there is no order among ", typeName(static_cast<ProgramType>(wish.program.type)),
         " programs that can be shown; xdp, tc, tcx and netkit have one");
}

// As it is kept: without descriptors, which can't be.
static std::string withoutDescriptors(schema::Place::Reader original) {
  capnp::MallocMessageBuilder message;
  message.setRoot(original);
  auto place = message.getRoot<schema::Place>();
  if (place.isXdp()) place.getXdp().disownNetns();
  if (place.isTc()) place.getTc().disownNetns();
  if (place.isTcx()) place.getTcx().disownNetns();
  if (place.isNetkit()) place.getNetkit().disownNetns();
  if (place.isNetns()) place.getNetns().disownNetns();
  if (place.isNetfilter()) place.getNetfilter().disownNetns();
  if (place.isCgroup()) place.getCgroup().disownCgroup();
  if (place.isUprobe()) place.getUprobe().disownBinary(), place.getUprobe().disownProcess();
  if (place.isUprobeMulti()) place.getUprobeMulti().disownBinary(), place.getUprobeMulti().disownProcess();
  if (place.isPerfEvent()) place.getPerfEvent().disownProcess();
  auto words = capnp::messageToFlatArray(message);
  auto bytes = words.asBytes();
  if (bytes.size() > limits::PLACE_BYTES)
    refuse("what says where to attach has ", bytes.size(), " bytes, of at most ", limits::PLACE_BYTES);
  return std::string(bytes.asChars().begin(), bytes.size());
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
  link.place = withoutDescriptors(wish.place);
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

uint8_t sideOf(schema::Direction direction) {
  if (direction != schema::Direction::INGRESS && direction != schema::Direction::EGRESS) refuse("say which direction: ingress or egress");
  return static_cast<uint8_t>(direction);
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
  link.netnsPath = limitedText(netnsPath, "a network namespace's path", limits::PATH_BYTES);
}

void removePin(Core& core, const wire::Pin& pin, kj::WaitScope& scope) {
  auto place = core.workers.host(scope);
  requireOk(place->worker.call(wire::Op::remove, pin).wait(scope), "remove a pin");
}

bool isThere(Core& core, const LinkRow& link, kj::WaitScope& scope) {
  return !link.hostNetns || Netlink(core.workers.host(scope)->netlink).interfaceAt(link.ifindex) != nullptr;
}

bool isOn(Core& core, const wire::Pin& link, uint32_t ifindex, kj::WaitScope& scope) {
  auto place = core.workers.host(scope);
  auto reply = place->worker.call(wire::Op::inspect, link).wait(scope);
  return reply.result >= 0 && infoOf<bpf_link_info>(reply).tcx.ifindex == ifindex;
}

}  // namespace bpfman
