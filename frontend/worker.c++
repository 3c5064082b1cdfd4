#include "frontend/worker.h"

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

kj::Promise<WorkerReply> WorkerChannel::callBytes(wire::Op op, kj::ArrayPtr<const kj::byte> body, kj::ArrayPtr<const kj::byte> tail,
                                                  kj::ArrayPtr<const int> descriptors) {
  auto message = kj::heapArray<kj::byte>(sizeof(wire::Header) + body.size() + tail.size());
  KJ_REQUIRE(message.size() <= wire::MAX_MESSAGE, "request too large", message.size());
  wire::Header header{op, static_cast<uint32_t>(message.size())};
  memcpy(message.begin(), &header, sizeof header);
  if (body.size() > 0) memcpy(message.begin() + sizeof header, body.begin(), body.size());
  if (tail.size() > 0) memcpy(message.begin() + sizeof header + body.size(), tail.begin(), tail.size());
  return channel.call(message, descriptors).then([](Packet packet) {
    wire::Reply reply;
    KJ_REQUIRE(packet.bytes.size() >= sizeof reply, "short answer from the worker");
    memcpy(&reply, packet.bytes.begin(), sizeof reply);
    WorkerReply result{reply.result, kj::heapArray<kj::byte>(packet.bytes.slice(sizeof reply, packet.bytes.size())), nullptr};
    if (packet.descriptors.size() > 0) result.descriptor = kj::mv(packet.descriptors[0]);
    return result;
  });
}

kj::String kernelReason(int64_t result) { return kj::str(strerror(static_cast<int>(-result))); }

int64_t requireOk(const WorkerReply& reply, kj::StringPtr what) {
  if (reply.result < 0) refuse(what, ": ", kernelReason(reply.result));
  return reply.result;
}

kj::Array<uint32_t> mapIdsOf(const WorkerReply& reply) {
  wire::ObjectInfo header;
  if (reply.tail.size() < sizeof header) return nullptr;
  memcpy(&header, reply.tail.begin(), sizeof header);
  size_t offset = sizeof header + header.infoSize, size = header.mapCount * sizeof(uint32_t);
  if (header.mapCount > wire::MAX_MAPS || reply.tail.size() < offset + size) return nullptr;
  auto ids = kj::heapArray<uint32_t>(header.mapCount);
  memcpy(ids.begin(), reply.tail.begin() + offset, size);
  return ids;
}

wire::Pin pinAt(wire::Dir dir, uint32_t a, uint32_t b, uint32_t c, kj::StringPtr name) {
  wire::Pin pin{dir, a, b, c, {}};
  KJ_REQUIRE(name.size() < sizeof pin.name, "name too long", name);
  memcpy(pin.name, name.begin(), name.size());
  return pin;
}

kj::String pathOf(kj::StringPtr runtimeDir, const wire::Pin& pin) {
  auto fs = kj::str(runtimeDir, "/fs/");
  switch (pin.dir) {
    case wire::Dir::loads: return kj::str(fs, "loads/", pin.a, '/', pin.name, pin.b);
    case wire::Dir::programs: return kj::str(fs, "prog_", pin.a);
    case wire::Dir::maps: return pin.name[0] ? kj::str(fs, "maps/", pin.a, '/', pin.name) : kj::str(fs, "maps/", pin.a);
    case wire::Dir::links: return kj::str(fs, "links/", pin.a);
    case wire::Dir::dispatchers: return kj::str(fs, "xdp/dispatcher_", pin.a, '_', pin.b, '_', pin.name);
    case wire::Dir::members: return kj::str(fs, "xdp/dispatcher_", pin.a, '_', pin.b, "/link_", pin.c);
    case wire::Dir::tcIngress: return kj::str(fs, "tc-ingress/dispatcher_", pin.a, '_', pin.b, '_', pin.name);
    case wire::Dir::tcEgress: return kj::str(fs, "tc-egress/dispatcher_", pin.a, '_', pin.b, '_', pin.name);
    case wire::Dir::tcIngressMembers: return kj::str(fs, "tc-ingress/dispatcher_", pin.a, '_', pin.b, "/link_", pin.c);
    case wire::Dir::tcEgressMembers: return kj::str(fs, "tc-egress/dispatcher_", pin.a, '_', pin.b, "/link_", pin.c);
    case wire::Dir::tcxIngress: return kj::str(fs, "tcx-ingress/link_", pin.a, '_', pin.b, '_', pin.c);
    case wire::Dir::tcxEgress: return kj::str(fs, "tcx-egress/link_", pin.a, '_', pin.b, '_', pin.c);
    case wire::Dir::netkitPrimary: return kj::str(fs, "netkit-primary/link_", pin.a, '_', pin.b, '_', pin.c);
    case wire::Dir::netkitPeer: return kj::str(fs, "netkit-peer/link_", pin.a, '_', pin.b, '_', pin.c);
    case wire::Dir::iterators: return kj::str(fs, "iterators/", pin.name);
    case wire::Dir::version: return kj::str(fs, "version_", pin.a);
    case wire::Dir::xdpPrograms: return kj::str("/sys/fs/bpf/xdp/dispatch-", pin.a, '-', pin.b, "/prog", pin.c, "-prog");
    case wire::Dir::xdpLinks: return kj::str("/sys/fs/bpf/xdp/dispatch-", pin.a, '-', pin.b, "/prog", pin.c, "-link");
    case wire::Dir::count: break;
  }
  KJ_UNREACHABLE;
}

bool isPinName(kj::StringPtr name) {
  if (name.size() == 0 || name.size() >= wire::NAME) return false;
  for (char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return true;
}

}  // namespace bpfman
