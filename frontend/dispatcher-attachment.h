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

wire::CreateLink dispatcherLink(const ChainHook& hook, const DispatcherRow& row);

enum class TcBy : uint8_t { filter, link, linkOnly };  // link: by a filter where the kernel has no TCX

void attachDispatcher(const ChainHook& hook, DispatcherRow& row, Place& place, Catalog& catalog, TcBy by, kj::WaitScope& scope);
// Its program is loads/LOAD/p0 of the row. Says in the row how it is attached. A filter has no pin that a restart would find, so the row is
// stored before there is one.

void removeDispatcherLink(Workers& workers, const ChainHook& hook, kj::WaitScope& scope);
// One that somebody detached by force, too; then nothing but our pin is left of it.

void replaceDispatcher(Workers& workers, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope);
// The row's program in place of the one that is attached as the row says, in one step: by a link, from wherever, or a filter of the host's.

struct RunningDispatcher {
  uint32_t program = 0, link = 0;  // kernel ids; 0: none of ours
  bool missing = false;            // the interface is gone, as far as can be seen from outside of its network namespace
};
RunningDispatcher runningDispatcher(Workers& workers, const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope);
// What is attached as the row says it: the same.

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
