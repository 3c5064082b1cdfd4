#include "frontend/dispatcher-attachment.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/overview.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr uint32_t FILTER_PRIORITY = 50;  // as upstream's
constexpr uint32_t FILTERS = 65536;       // handles that are tried
constexpr uint32_t INGRESS_SLOT = 0xfffffff1;

wire::SetFilter filterOf(const ChainHook& hook, const DispatcherRow& row, wire::FilterChange change) {
  return {loadedProgram(row.load, 0), change, hook.isEgress(), hook.ifindex, row.filterPriority, row.filterHandle, 0};
}

// The program of our filter; 0: it is not there.
uint32_t programOfFilter(Place& place, const ChainHook& hook, const DispatcherRow& row) {
  for (auto& filter : Netlink(place.netlink).filters(hook.ifindex, hook.isEgress()))
    if (filter.priority == row.filterPriority && filter.handle == row.filterHandle && filter.name == "bpfman") return filter.programId;
  return 0;
}

void requireNoIngressQdisc(const ChainHook& hook, Place& place) {
  for (auto& qdisc : Netlink(place.netlink).qdiscs())
    if (qdisc.ifindex == hook.ifindex && qdisc.kind == "ingress" && qdisc.parent == INGRESS_SLOT)
      refuse("cannot attach TC program to ", hook.interface.c_str(),
             ": a \"ingress\" qdisc already occupies the ingress qdisc slot; bpfman requires clsact -- remove it (tc qdisc del dev ",
             hook.interface.c_str(), " ingress) or detach the conflicting program first");
}

void attachFilter(const ChainHook& hook, DispatcherRow& row, Place& place, Catalog& catalog, kj::WaitScope& scope) {
  requireNoIngressQdisc(hook, place);
  auto filters = Netlink(place.netlink).filters(hook.ifindex, hook.isEgress());
  auto taken = [&](uint32_t handle) {
    return std::ranges::any_of(filters, [&](auto& each) { return each.priority == FILTER_PRIORITY && each.handle == handle; });
  };
  row.filterPriority = FILTER_PRIORITY;
  for (row.filterHandle = 1; row.filterHandle < FILTERS; ++row.filterHandle) {
    if (taken(row.filterHandle)) continue;
    catalog.put(row);
    auto reply = place.worker.call(wire::Op::setFilter, filterOf(hook, row, wire::FilterChange::create)).wait(scope);
    if (reply.result == -EEXIST) continue;  // somebody was faster
    if (reply.result == -EINVAL)
      refuse("attach to ", hook.interface.c_str(), ": the kernel takes no BPF filter of priority ", FILTER_PRIORITY,
             " there; one of another kind or protocol may have that priority (tc filter show dev ", hook.interface.c_str(),
             hook.isEgress() ? " egress)" : " ingress)");
    requireOk(reply, kj::str("attach to ", hook.interface.c_str()));
    return;
  }
  refuse("interface ", hook.interface.c_str(), " has too many filters of priority ", FILTER_PRIORITY);
}

// By more than our pin. A filter can't be seen from outside of its network namespace, but that something holds the program can.
bool isHeld(Workers& workers, uint32_t program, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  auto reply =
      host->worker.call(wire::Op::openIterator, wire::OpenIterator{pinAt(wire::Dir::iterators, 0, 0, 0, "programs"), {}}).wait(scope);
  requireOk(reply, "look at the machine's programs");
  for (auto& record : decodePrograms(readAll(KJ_REQUIRE_NONNULL(reply.descriptor))))
    if (record.id == program) return record.references > 1;
  return false;
}

}  // namespace

wire::Pin dispatcherLinkPin(const ChainHook& hook) {
  auto dir = hook.isXdp() ? wire::Dir::dispatchers : hook.isEgress() ? wire::Dir::tcEgress : wire::Dir::tcIngress;
  return pinAt(dir, static_cast<uint32_t>(hook.nsid), hook.ifindex, 0, "link");
}

wire::CreateLink dispatcherLink(const ChainHook& hook, const DispatcherRow& row) {
  wire::CreateLink link{};
  link.program = loadedProgram(row.load, 0);
  link.to = dispatcherLinkPin(hook);
  link.kind = hook.isXdp() ? wire::LinkKind::xdp : wire::LinkKind::tcx;
  link.attachType = hook.isXdp() ? BPF_XDP : hook.isEgress() ? BPF_TCX_EGRESS : BPF_TCX_INGRESS;
  link.interface = hook.ifindex;
  return link;
}

void attachDispatcher(const ChainHook& hook, DispatcherRow& row, Place& place, Catalog& catalog, TcBy by, kj::WaitScope& scope) {
  if (!hook.isXdp() && by == TcBy::filter) return attachFilter(hook, row, place, catalog, scope);
  auto reply = place.worker.call(wire::Op::createLink, dispatcherLink(hook, row)).wait(scope);
  if (!hook.isXdp() && reply.result == -EINVAL) {
    if (by == TcBy::linkOnly)
      refuse("engine ", row.engine.c_str(), " keeps TC chains in other network namespaces than the host's by TCX, which this kernel does ",
             "not have (Linux 6.6 does): load the program with --engine tailcall");
    spdlog::info("this kernel has no TCX: {} is attached by a clsact filter", hook.interface);
    return attachFilter(hook, row, place, catalog, scope);
  }
  if (reply.result == -EBUSY || reply.result == -EEXIST)
    refuse("interface ", hook.interface.c_str(),
           " already has an XDP program that bpfman did not attach; see 'bpfman overview', detach it (ip link set dev ",
           hook.interface.c_str(), " xdp off, or xdp-loader unload) and try again, or let it become a member of the chain (--adopt)");
  row.kernelLinkId = requireOk(reply, kj::str("attach ", hook.isXdp() ? "XDP" : "TC", " to ", hook.interface.c_str()));
}

void removeDispatcherLink(Workers& workers, const ChainHook& hook, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  requireOk(host->worker.call(wire::Op::remove, dispatcherLinkPin(hook)).wait(scope), "detach the dispatcher");
}

void replaceDispatcher(Workers& workers, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  wire::UpdateLink update{dispatcherLinkPin(hook), loadedProgram(row.load, 0)};
  auto reply = row.filterHandle == 0 ? host->worker.call(wire::Op::updateLink, update)
                                     : host->worker.call(wire::Op::setFilter, filterOf(hook, row, wire::FilterChange::replace));
  requireOk(reply.wait(scope), "swap the dispatcher");
}

RunningDispatcher runningDispatcher(Workers& workers, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  bool seen = hook.host && Netlink(host->netlink).interfaceAt(hook.ifindex) != nullptr;
  if (row.filterHandle != 0) return {seen ? programOfFilter(*host, hook, row) : 0, 0, !seen};
  auto reply = host->worker.call(wire::Op::inspect, dispatcherLinkPin(hook)).wait(scope);
  if (reply.result == -ENOENT) return {};
  requireOk(reply, "look at the dispatcher's link");
  auto info = infoOf<bpf_link_info>(reply);
  bool attached = (hook.isXdp() ? info.xdp.ifindex : info.tcx.ifindex) == hook.ifindex;
  return {attached ? info.prog_id : 0, info.id, !attached && !seen};
}

wire::Pin adoptedPin(const ChainHook& hook) { return pinAt(wire::Dir::members, static_cast<uint32_t>(hook.nsid), hook.ifindex, 0); }

// One that an earlier try left is another program's, or the same.
void pinAdopted(Workers& workers, BrokerChannel& broker, const ChainHook& hook, uint32_t program, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  auto descriptor = broker.openXdpProgram(program).wait(scope);
  int fd = descriptor.get();
  requireOk(host->worker.call(wire::Op::remove, adoptedPin(hook)).wait(scope), "remove an old pin");
  wire::Publish wish{{}, adoptedPin(hook)};
  auto reply = host->worker.call(wire::Op::publish, wish, nullptr, kj::arrayPtr(const_cast<const int*>(&fd), 1)).wait(scope);
  requireOk(reply, "pin the program that is to be adopted");
}

void takeOver(Workers& workers, BrokerChannel& broker, const ChainHook& hook, const DispatcherRow& row, const RunningXdp& running,
              Catalog& catalog, kj::WaitScope& scope) {
  catalog.put(row);
  auto reply = swapXdp(*workers.host(scope), broker, hook.ifindex, running, {loadedProgram(row.load, 0)}, scope);
  if (reply.result == -EBUSY || reply.result == -EEXIST)
    refuse(
        "interface ", hook.interface.c_str(),
        " has another XDP program than a moment ago, or one whose owner lets nobody replace it (attached by a link): nothing was changed");
  requireOk(reply, kj::str("attach XDP to ", hook.interface.c_str()));
}

// Whoever took the dispatcher off the interface, or put something else there, wanted just that: then it is not put back. Should our pin of
// the adopted program be lost, with the bpffs, there is nothing to give back.
static void giveBack(Workers& workers, BrokerChannel& broker, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  RunningXdp running = runningXdp(*host, hook.ifindex);
  if (running.program == row.programId) {
    auto reply = swapXdp(*host, broker, hook.ifindex, running, {adoptedPin(hook)}, scope);
    if (reply.result == -ENOENT) reply = swapXdp(*host, broker, hook.ifindex, running, {nullptr}, scope);
    if (reply.result != -EEXIST && reply.result != -ENODEV)
      requireOk(reply, kj::str("give ", hook.interface.c_str(), " back to the adopted program"));
  }
  requireOk(host->worker.call(wire::Op::remove, adoptedPin(hook)).wait(scope), "remove the adopted program's pin");
}

void detachDispatcher(Workers& workers, BrokerChannel& broker, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
  if (row.adopted != 0) return giveBack(workers, broker, hook, row, scope);
  if (row.filterHandle == 0) return removeDispatcherLink(workers, hook, scope);
  KJ_IF_MAYBE (place, workers.reachable(hook.nsid, scope)) {
    if (programOfFilter(**place, hook, row) == row.programId)
      requireOk((*place)->worker.call(wire::Op::setFilter, filterOf(hook, row, wire::FilterChange::remove)).wait(scope),
                "remove the dispatcher's filter");
  } else {
    spdlog::warn("the network namespace {} of {} can't be reached: if it still exists, an empty {} filter stays there", hook.nsid,
                 hook.interface, hook.type);
  }
}

bool dispatcherIsOn(Workers& workers, Place& place, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
  if (row.adopted != 0) return runningXdp(place, hook.ifindex).program == row.programId;
  if (row.filterHandle != 0 && place.nsid != hook.nsid) return isHeld(workers, row.programId, scope);
  if (row.filterHandle != 0) return programOfFilter(place, hook, row) == row.programId;
  auto host = workers.host(scope);
  auto reply = host->worker.call(wire::Op::inspect, dispatcherLinkPin(hook)).wait(scope);
  if (reply.result < 0) return false;
  auto info = infoOf<bpf_link_info>(reply);
  return (hook.isXdp() ? info.xdp.ifindex : info.tcx.ifindex) == hook.ifindex;
}

}  // namespace bpfman
