// What the frontend may ask of the broker: schema/broker.h says what each operation takes and returns.
#include <dirent.h>
#include <fcntl.h>
#include <kj/debug.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/file.h>
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
    {wire::BrokerOp::shareXdp, false, &Supervisor::shareXdp},
    {wire::BrokerOp::openXdpProgram, false, &Supervisor::openXdpProgram},
    {wire::BrokerOp::ready, false, &Supervisor::noteReady},
};

namespace {

constexpr size_t HOST_WORKERS = 4, FOREIGN_WORKERS = 32, LOADERS = 64;  // at once

bool isWord(const char (&text)[64]) {
  size_t length = strnlen(text, sizeof text);
  return length > 0 && length < sizeof text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

std::vector<std::string> namesIn(int directory) {
  std::vector<std::string> names;
  int copy = fcntl(directory, F_DUPFD_CLOEXEC, 3);
  DIR* entries = copy < 0 ? nullptr : fdopendir(copy);
  if (!entries) return names;
  while (dirent* entry = readdir(entries))
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  closedir(entries);
  return names;
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

// Root's tools make what is in there. Their directories are given away last: what is the worker's already is not looked into again.
Supervisor::Answer Supervisor::shareXdp(const wire::BrokerRequest&, kj::Maybe<kj::AutoCloseFd>) {
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  kj::AutoCloseFd locked(openat(house.xdp.get(), ".", flags));  // not dup(): the lock belongs to whoever opened it
  if (locked.get() < 0) return {{errno == ENOTDIR ? -EOPNOTSUPP : -errno, 0}, {}};
  if (flock(locked.get(), LOCK_EX | LOCK_NB) != 0) return {{-EAGAIN, 10}, {}};
  for (auto& name : namesIn(locked.get())) {
    kj::AutoCloseFd inner(openat(locked.get(), name.c_str(), flags));
    if (inner.get() < 0) continue;
    for (auto& pin : namesIn(inner.get())) (void)!fchownat(inner.get(), pin.c_str(), house.worker.uid, 0, AT_SYMLINK_NOFOLLOW);
    (void)!fchown(inner.get(), house.worker.uid, 0);
  }
  Answer answer{{0, 0}, {}};
  answer.descriptors.add(kj::mv(locked));
  return answer;
}

Supervisor::Answer Supervisor::openXdpProgram(const wire::BrokerRequest& request, kj::Maybe<kj::AutoCloseFd>) {
  bpf_attr get{}, look{};
  bpf_prog_info info{};
  get.prog_id = request.id;
  kj::AutoCloseFd program(syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &get, sizeof get));
  if (program.get() < 0) return {{-errno, 0}, {}};
  look.info = {uint32_t(program.get()), sizeof info, reinterpret_cast<uint64_t>(&info)};
  if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &look, sizeof look) != 0 || info.type != BPF_PROG_TYPE_XDP) return {{-EPERM, 0}, {}};
  Answer answer{{0, 0}, {}};
  answer.descriptors.add(kj::mv(program));
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
