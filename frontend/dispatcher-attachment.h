// How the dispatcher of a chain is put on its hook and taken off: by an XDP link, or for TC by one filter on a clsact qdisc or a TCX link.
// Programs, filters and qdiscs of others are never touched, but for an XDP program that is adopted: the dispatcher then takes its place by
// netlink, and it takes the dispatcher's in the end.
#pragma once

#include "frontend/engine.h"

namespace bpfman {

inline ChainHook chainHookOf(const DispatcherRow& row) {
  return {row.type, row.nsid, row.ifindex, row.interface, row.netnsPath, row.hostNetns};
}

wire::Pin dispatcherLinkPin(const ChainHook& hook);

void attachDispatcher(const ChainHook& hook, DispatcherRow& row, Place& place, Catalog& catalog, bool preferTcx, kj::WaitScope& scope);
// Its program is loads/LOAD/p0 of the row. Says in the row how it is attached. A filter has no pin that a restart would find, so the row is
// stored before there is one.

void pinAdopted(Workers& workers, BrokerChannel& broker, const ChainHook& hook, uint32_t program, kj::WaitScope& scope);
wire::Pin adoptedPin(const ChainHook& hook);
// Our name of the adopted program: a member's, without a link. Nobody else need have one, once it is off the interface.

void takeOver(Workers& workers, BrokerChannel& broker, const ChainHook& hook, const DispatcherRow& row, const RunningXdp& running,
              Catalog& catalog, kj::WaitScope& scope);
// The dispatcher in the place of the program that it has adopted, in one swap. The row is stored before.

void detachDispatcher(Workers& workers, BrokerChannel& broker, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope);
// Whatever is left of it. A filter in a namespace that nobody can reach any more stays, without members: it has no opinion on any packet.

bool dispatcherIsOn(Workers& workers, Place& place, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope);
// As its network namespace shows it, or, when `place` is another, as far as the kernel's objects do.

}  // namespace bpfman
