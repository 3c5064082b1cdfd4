// XDP by netlink, on the host's interfaces: where other tools must be able to take part, and where one of theirs becomes a member of a
// chain of ours. What runs there can be swapped by anybody at any time, so each swap names whom it replaces.
#pragma once

#include "frontend/broker.h"
#include "frontend/libxdp-chain.h"
#include "frontend/workers.h"

namespace bpfman {

struct RunningXdp {
  uint32_t program = 0;  // kernel id; 0: nothing
  uint32_t modes = 0;    // XDP_FLAGS_MODES
  bool missing = false;  // the interface is gone
};

RunningXdp runningXdp(Place& host, uint32_t ifindex);

kj::Maybe<LibxdpConfig> libxdpConfigOf(uint32_t program, Place& host, kj::WaitScope& scope);  // nothing: it is no such dispatcher

std::string nameOfProgram(uint32_t program, Place& host, kj::WaitScope& scope);  // at most 15 characters, as the kernel has it

size_t linksInto(uint32_t program, Place& host, kj::WaitScope& scope);  // whose programs replace functions of this one
kj::Maybe<uint32_t> xdpLinkOf(uint32_t program, uint32_t ifindex, Place& host, kj::WaitScope& scope);
// The bpf_link that attaches it there: then nobody but that link's owner can swap it.

struct XdpSwap {
  kj::Maybe<wire::Pin> program;             // none: nothing runs there afterwards
  kj::Maybe<wire::Pin> expected = nullptr;  // what runs there now, if we have a pin of it; else the broker opens it
};
WorkerReply swapXdp(Place& host, BrokerChannel& broker, uint32_t ifindex, const RunningXdp& running, const XdpSwap& swap,
                    kj::WaitScope& scope);
// EEXIST: another program runs there than the running one; EBUSY: a link attaches it.

}  // namespace bpfman
