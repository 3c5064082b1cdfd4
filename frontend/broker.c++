#include "frontend/broker.h"

#include <cerrno>

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

namespace {
constexpr auto XDP_LOCK_PATIENCE = 10 * kj::SECONDS;  // somebody else's change of a dispatcher takes milliseconds
}

// A broker that holds a kind of child back says for how long; we ask again then.
kj::Promise<kj::Vector<kj::AutoCloseFd>> BrokerChannel::call(wire::BrokerRequest request, kj::StringPtr what, size_t descriptors,
                                                             kj::Maybe<int> passed) {
  auto bytes = kj::arrayPtr(reinterpret_cast<const kj::byte*>(&request), sizeof request);
  kj::ArrayPtr<const int> with;
  KJ_IF_MAYBE (descriptor, passed) with = kj::arrayPtr(descriptor, 1);
  return channel.call(bytes, with)
      .then([this, request, what, descriptors, passed](Packet packet) -> kj::Promise<kj::Vector<kj::AutoCloseFd>> {
        wire::BrokerReply reply;
        KJ_REQUIRE(packet.bytes.size() == sizeof reply, "malformed answer from the broker");
        memcpy(&reply, packet.bytes.begin(), sizeof reply);
        if (reply.result == -EAGAIN)
          return timer.afterDelay(reply.delayMilliseconds * kj::MILLISECONDS).then([this, request, what, descriptors, passed]() {
            return call(request, what, descriptors, passed);
          });
        if (reply.result < 0) refuse(what, ": ", reply.result == -ENOENT ? "it does not exist on this kernel" : strerror(-reply.result));
        KJ_REQUIRE(packet.descriptors.size() == descriptors, "malformed answer from the broker");
        return kj::mv(packet.descriptors);
      });
}

kj::Promise<BrokerChannel::StartedWorker> BrokerChannel::startWorker(kj::Maybe<int> networkNamespace) {
  return call({wire::BrokerOp::startWorker, 0, {}, {}}, "start a worker", 2, networkNamespace).then([](kj::Vector<kj::AutoCloseFd> fds) {
    return StartedWorker{kj::mv(fds[0]), kj::mv(fds[1])};
  });
}

kj::Promise<BrokerChannel::StartedLoader> BrokerChannel::startLoader() {
  return call({wire::BrokerOp::startLoader, 0, {}, {}}, "start a loader", 2).then([](kj::Vector<kj::AutoCloseFd> fds) {
    return StartedLoader{kj::mv(fds[0]), kj::mv(fds[1])};
  });
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openTracepoint(kj::StringPtr group, kj::StringPtr name) {
  wire::BrokerRequest request{wire::BrokerOp::openTracepoint, 0, {}, {}};
  auto what = kj::str("tracepoint ", group, '/', name);
  if (group.size() == 0 || name.size() == 0 || group.size() >= sizeof request.group || name.size() >= sizeof request.name)
    refuse(what, ": give it as GROUP/NAME, each 1 to 63 characters");
  memcpy(request.group, group.begin(), group.size());
  memcpy(request.name, name.begin(), name.size());
  auto promise = call(request, what, 1);
  return promise.attach(kj::mv(what)).then([](kj::Vector<kj::AutoCloseFd> fds) { return kj::mv(fds[0]); });
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openUprobe(int binary, uint64_t offset, bool returns, pid_t pid) {
  wire::BrokerRequest request{wire::BrokerOp::openUprobe, 0, {}, {}, offset, returns, pid};
  return call(request, "open the probe", 1, binary).then([](kj::Vector<kj::AutoCloseFd> fds) { return kj::mv(fds[0]); });
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::shareXdp() {
  auto first = [](kj::Vector<kj::AutoCloseFd> fds) { return kj::mv(fds[0]); };
  return timer.timeoutAfter(XDP_LOCK_PATIENCE, call({wire::BrokerOp::shareXdp, 0, {}, {}}, "take libxdp's directory", 1).then(first));
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openXdpProgram(uint32_t id) {
  return call({wire::BrokerOp::openXdpProgram, 0, {}, {}, 0, 0, 0, id}, "open the interface's XDP program", 1)
      .then([](kj::Vector<kj::AutoCloseFd> fds) { return kj::mv(fds[0]); });
}

kj::Promise<void> BrokerChannel::ready(bool policyTaken) {
  return call({wire::BrokerOp::ready, policyTaken, {}, {}}, "say that we serve", 0).ignoreResult();
}

}  // namespace bpfman
