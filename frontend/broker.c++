#include "frontend/broker.h"

#include <cerrno>

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

namespace {
constexpr auto XDP_LOCK_PATIENCE = 10 * kj::SECONDS;  // somebody else's change of a dispatcher takes milliseconds

kj::StringPtr reasonOf(const wire::BrokerRequest& request, int result) {
  if (result == -ENOENT) return "it does not exist on this kernel"_kj;
  if (result == -EILSEQ) return "no instruction begins at this offset"_kj;
  if (result == -EOPNOTSUPP && request.kind == wire::EventKind::kprobe) return "this kernel has no kprobes: it needs CONFIG_KPROBES"_kj;
  return strerror(-result);
}
}  // namespace

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
        if (reply.result < 0) refuse(what, ": ", reasonOf(request, reply.result));
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

constexpr auto first = [](kj::Vector<kj::AutoCloseFd> fds) { return kj::mv(fds[0]); };

kj::Promise<kj::AutoCloseFd> BrokerChannel::openEvent(wire::BrokerRequest event, kj::String what, kj::Maybe<int> binary) {
  event.op = wire::BrokerOp::openEvent;
  auto promise = call(event, what, 1, binary);
  return promise.attach(kj::mv(what)).then(first);
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openTracepoint(kj::StringPtr group, kj::StringPtr name) {
  wire::BrokerRequest event{};
  auto what = kj::str("tracepoint ", group, '/', name);
  if (group.size() == 0 || name.size() == 0 || group.size() >= sizeof event.group || name.size() >= sizeof event.group)
    refuse(what, ": give it as GROUP/NAME, each 1 to 63 characters");
  event.kind = wire::EventKind::tracepoint;
  memcpy(event.group, group.begin(), group.size());
  memcpy(event.name, name.begin(), name.size());
  return openEvent(event, kj::mv(what));
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openUprobe(int binary, uint64_t offset, bool returns, pid_t pid) {
  wire::BrokerRequest event{};
  event.kind = wire::EventKind::uprobe, event.where = offset, event.returns = returns;
  event.pid = pid, event.cpu = pid ? -1 : 0;
  return openEvent(event, kj::str("open the probe"), binary);
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openKprobe(kj::StringPtr function, uint64_t offset, bool returns) {
  wire::BrokerRequest event{};
  auto what = kj::str("probe the kernel's function ", function);
  if (function.size() >= sizeof event.name) refuse(what, ": its name may have ", sizeof event.name - 1, " characters");
  event.kind = wire::EventKind::kprobe, event.where = offset, event.returns = returns;
  memcpy(event.name, function.begin(), function.size());
  return openEvent(event, kj::mv(what));
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openCounter(bool hardware, uint64_t number, bool frequent, uint64_t often, int32_t cpu,
                                                        pid_t pid) {
  wire::BrokerRequest event{};
  event.kind = hardware ? wire::EventKind::hardware : wire::EventKind::software, event.where = number;
  event.frequent = frequent, event.often = often, event.cpu = cpu, event.pid = pid;
  return openEvent(event, kj::str("count that event"));
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::shareXdp() {
  return timer.timeoutAfter(XDP_LOCK_PATIENCE, call({wire::BrokerOp::shareXdp, 0, {}, {}}, "take libxdp's directory", 1).then(first));
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openXdpProgram(uint32_t id) {
  wire::BrokerRequest request{wire::BrokerOp::openXdpProgram, 0, {}, {}};
  request.id = id;
  return call(request, "open the interface's XDP program", 1).then(first);
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::startDelegator() {
  return call({wire::BrokerOp::startDelegator, 0, {}, {}}, "start a delegator", 1).then(first);
}

kj::Promise<kj::AutoCloseFd> BrokerChannel::openModule(kj::StringPtr name) {
  wire::BrokerRequest request{wire::BrokerOp::openModule, 0, {}, {}};
  auto what = kj::str("open the types of module ", name);
  KJ_REQUIRE(name.size() < sizeof request.name, "a module's name is shorter", name);
  memcpy(request.name, name.begin(), name.size());
  auto promise = call(request, what, 1);
  return promise.attach(kj::mv(what)).then(first);
}

kj::Promise<void> BrokerChannel::ready(bool policyTaken) {
  return call({wire::BrokerOp::ready, policyTaken, {}, {}}, "say that we serve", 0).ignoreResult();
}

}  // namespace bpfman
