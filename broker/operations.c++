// What the frontend may ask of the broker: schema/broker.h says what each operation takes and returns.
#include <fcntl.h>
#include <kj/debug.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "broker/supervise.h"

namespace bpfman {

// In the order of BrokerOp.
const Supervisor::Operation Supervisor::OPERATIONS[] = {
    {wire::BrokerOp::startWorker, true, &Supervisor::startWorker},
    {wire::BrokerOp::startLoader, false, &Supervisor::startLoader},
    {wire::BrokerOp::openTracepoint, false, &Supervisor::openTracepoint},
    {wire::BrokerOp::ready, false, &Supervisor::noteReady},
};

namespace {

constexpr size_t HOST_WORKERS = 4, FOREIGN_WORKERS = 32, LOADERS = 64;  // at once

bool isWord(const char (&text)[64]) {
  size_t length = strnlen(text, sizeof text);
  return length > 0 && length < sizeof text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

}  // namespace

Supervisor::Answer Supervisor::startWorker(const wire::BrokerRequest&, kj::Maybe<kj::AutoCloseFd> networkNamespace) {
  int there = -1;
  KJ_IF_MAYBE (descriptor, networkNamespace) there = descriptor->get();
  bool foreign = there >= 0;
  if (auto left = patience.at(Kind::worker).left(); left.count()) return {{-EAGAIN, uint32_t(left.count())}, {}};
  if (count(Kind::worker, foreign) >= (foreign ? FOREIGN_WORKERS : HOST_WORKERS)) return {{-EMFILE, 0}, {}};

  // This process is in the other namespace until the end of the scope; what it opens and starts there stays there.
  if (foreign && setns(there, CLONE_NEWNET) != 0) return {{-errno, 0}, {}};
  KJ_DEFER(if (foreign && setns(house.hostNetwork.get(), CLONE_NEWNET) != 0) abort());  // lost elsewhere it may not go on
  Answer answer{{0, 0}, {}};
  kj::AutoCloseFd control;
  answer.descriptors.add(newPair(control));
  answer.descriptors.add(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  startChild(Kind::worker, foreign, {control.get(), house.ceiling.get()});
  return answer;
}

Supervisor::Answer Supervisor::startLoader(const wire::BrokerRequest&, kj::Maybe<kj::AutoCloseFd>) {
  if (auto left = patience.at(Kind::loader).left(); left.count()) return {{-EAGAIN, uint32_t(left.count())}, {}};
  if (count(Kind::loader, false) >= LOADERS) return {{-EMFILE, 0}, {}};
  kj::AutoCloseFd job, session, btf = openKernelBtf();
  Answer answer{{0, 0}, {}};
  answer.descriptors.add(newPair(job));
  answer.descriptors.add(newPair(session));
  startChild(Kind::loader, false, {job.get(), session.get(), btf.get()});
  return answer;
}

// The words become a path only here, beneath our tracefs descriptor. The event is kernel-wide: a program's link to it runs on all CPUs.
Supervisor::Answer Supervisor::openTracepoint(const wire::BrokerRequest& request, kj::Maybe<kj::AutoCloseFd>) {
  if (!isWord(request.group) || !isWord(request.name)) return {{-EINVAL, 0}, {}};
  auto path = kj::str("events/", static_cast<const char*>(request.group), '/', static_cast<const char*>(request.name), "/id");
  kj::AutoCloseFd file(openat(house.tracefs.get(), path.cStr(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.get() < 0) return {{errno == ENOTDIR ? -EOPNOTSUPP : -errno, 0}, {}};
  char text[32] = {};
  KJ_SYSCALL(read(file.get(), text, sizeof text - 1));

  perf_event_attr event{};
  event.type = PERF_TYPE_TRACEPOINT, event.size = sizeof event, event.config = strtoull(text, nullptr, 10);
  kj::AutoCloseFd descriptor(syscall(SYS_perf_event_open, &event, -1L, 0L, -1L, PERF_FLAG_FD_CLOEXEC));
  if (descriptor.get() < 0) return {{-errno, 0}, {}};
  Answer answer{{0, 0}, {}};
  answer.descriptors.add(kj::mv(descriptor));
  return answer;
}

Supervisor::Answer Supervisor::noteReady(const wire::BrokerRequest& request, kj::Maybe<kj::AutoCloseFd>) {
  KJ_REQUIRE(!ready, "it said twice that it serves");
  ready = true;
  if (request.policyTaken) house.keepPolicy();
  auto line = kj::str("bpfmand: ready, socket ", house.socketPath, '\n');
  (void)!write(STDERR_FILENO, line.begin(), line.size());
  tellSystemd(house.notifySocket, "READY=1\n");
  return {{0, 0}, {}};
}

}  // namespace bpfman
