#include "frontend/xdp-netlink.h"

#include <linux/bpf.h>
#include <linux/if_link.h>

#include <algorithm>

#include <kj/debug.h>

#include "frontend/netlink.h"
#include "frontend/overview.h"

namespace bpfman {

namespace {

std::vector<std::byte> readIterator(kj::StringPtr name, Place& host, kj::WaitScope& scope) {
  wire::OpenIterator wish{pinAt(wire::Dir::iterators, 0, 0, 0, name), {}};
  auto reply = host.worker.call(wire::Op::openIterator, wish).wait(scope);
  requireOk(reply, kj::str("look at the machine's ", name));
  return readAll(KJ_REQUIRE_NONNULL(reply.descriptor));
}

}  // namespace

RunningXdp runningXdp(Place& host, uint32_t ifindex) {
  RunningXdp running;
  auto found = Netlink(host.netlink).interfaceAt(ifindex);
  running.missing = found == nullptr;
  KJ_IF_MAYBE (interface, found) {
    running.program = interface->driverProgram ? interface->driverProgram : interface->genericProgram;
    running.modes = interface->driverProgram ? XDP_FLAGS_DRV_MODE : interface->genericProgram ? XDP_FLAGS_SKB_MODE : 0;
  }
  return running;
}

kj::Maybe<LibxdpConfig> libxdpConfigOf(uint32_t program, Place& host, kj::WaitScope& scope) {
  for (auto& record : decodeDispatchers(readIterator("dispatchers", host, scope)))
    if (record.id == program) return libxdpConfigOf(record);
  return nullptr;
}

std::string nameOfProgram(uint32_t program, Place& host, kj::WaitScope& scope) {
  for (auto& record : decodePrograms(readIterator("programs", host, scope)))
    if (record.id == program) return std::string(textOf(record.name));
  return "";
}

size_t linksInto(uint32_t program, Place& host, kj::WaitScope& scope) {
  return std::ranges::count(decodeLinks(readIterator("links", host, scope)), program, &KernelLink::targetProgramId);
}

kj::Maybe<uint32_t> xdpLinkOf(uint32_t program, uint32_t ifindex, Place& host, kj::WaitScope& scope) {
  for (auto& link : decodeLinks(readIterator("links", host, scope)))
    if (link.type == BPF_LINK_TYPE_XDP && link.programId == program && link.ifindex == ifindex && link.netns == host.nsid) return link.id;
  return nullptr;
}

WorkerReply swapXdp(Place& host, BrokerChannel& broker, uint32_t ifindex, const RunningXdp& running, const XdpSwap& swap,
                    kj::WaitScope& scope) {
  wire::SetXdp wish{};
  wish.interface = ifindex;
  wish.modes = running.modes;
  KJ_IF_MAYBE (program, swap.program) wish.program = *program, wish.hasProgram = 1;
  KJ_IF_MAYBE (expected, swap.expected) wish.expected = *expected, wish.hasExpected = 1;
  kj::Maybe<kj::AutoCloseFd> theirs;
  if (running.program != 0 && !wish.hasExpected) theirs = broker.openXdpProgram(running.program).wait(scope);
  int descriptor = -1;
  KJ_IF_MAYBE (fd, theirs) descriptor = fd->get();
  auto with = theirs == nullptr ? nullptr : kj::arrayPtr(const_cast<const int*>(&descriptor), 1);
  return host.worker.call(wire::Op::setXdp, wish, nullptr, with).wait(scope);
}

}  // namespace bpfman
