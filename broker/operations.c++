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
    {true, &Supervisor::startWorker}, {false, &Supervisor::startLoader}, {false, &Supervisor::openTracepoint},
    {true, &Supervisor::openUprobe},  {false, &Supervisor::shareXdp},    {false, &Supervisor::openXdpProgram},
    {false, &Supervisor::noteReady},
};

constexpr size_t HOST_WORKERS = 4, FOREIGN_WORKERS = 32, LOADERS = 64;  // at once

static bool isWord(const char (&text)[64]) {
  size_t length = strnlen(text, sizeof text);
  return length > 0 && length < sizeof text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

Supervisor::Answer Supervisor::startWorker(const wire::BrokerRequest&, kj::AutoCloseFd networkNamespace) {
  bool foreign = networkNamespace.get() >= 0;
  if (auto left = patience.at(Kind::worker).left(); left.count()) return {{-EAGAIN, uint32_t(left.count())}};
  if (count(Kind::worker, foreign) >= (foreign ? FOREIGN_WORKERS : HOST_WORKERS)) return {{-EMFILE, 0}};

  // This process is in the other namespace until the end of the scope; what it opens and starts there stays there.
  if (foreign && setns(networkNamespace.get(), CLONE_NEWNET) != 0) return {{-errno, 0}};
  KJ_DEFER(if (foreign && setns(house.hostNetwork.get(), CLONE_NEWNET) != 0) abort());  // lost elsewhere it may not go on
  kj::AutoCloseFd control, ours = newPair(control), netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  startChild(Kind::worker, foreign, {control.get(), house.ceiling.get()});
  return {{0, 0}, kj::mv(ours), kj::mv(netlink)};
}

Supervisor::Answer Supervisor::startLoader(const wire::BrokerRequest&, kj::AutoCloseFd) {
  if (auto left = patience.at(Kind::loader).left(); left.count()) return {{-EAGAIN, uint32_t(left.count())}};
  if (count(Kind::loader, false) >= LOADERS) return {{-EMFILE, 0}};
  kj::AutoCloseFd job, ourJob = newPair(job), session, ourSession = newPair(session);
  startChild(Kind::loader, false, {job.get(), session.get(), openKernelBtf().get()});
  return {{0, 0}, kj::mv(ourJob), kj::mv(ourSession)};
}

Supervisor::Answer Supervisor::openEvent(perf_event_attr& event, pid_t pid) {
  event.size = sizeof event;
  kj::AutoCloseFd descriptor(syscall(SYS_perf_event_open, &event, pid, pid < 0 ? 0 : -1, -1, PERF_FLAG_FD_CLOEXEC));
  return {{descriptor.get() < 0 ? -errno : 0, 0}, kj::mv(descriptor)};
}

// The words become a path only here, beneath our tracefs descriptor. The event is kernel-wide: a program's link to it runs on all CPUs.
Supervisor::Answer Supervisor::openTracepoint(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  if (!isWord(request.group) || !isWord(request.name)) return {{-EINVAL, 0}};
  auto path = kj::str("events/", static_cast<const char*>(request.group), '/', static_cast<const char*>(request.name), "/id");
  kj::AutoCloseFd file(openat(house.tracefs.get(), path.cStr(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.get() < 0) return {{errno == ENOTDIR ? -EOPNOTSUPP : -errno, 0}};
  char text[32] = {};
  KJ_SYSCALL(read(file.get(), text, sizeof text - 1));

  perf_event_attr event{};
  event.type = PERF_TYPE_TRACEPOINT, event.config = strtoull(text, nullptr, 10);
  return openEvent(event, -1);
}

// The kernel wants a path, and the descriptor has one, which nobody can change meanwhile.
Supervisor::Answer Supervisor::openUprobe(const wire::BrokerRequest& request, kj::AutoCloseFd binary) {
  KJ_REQUIRE(request.returns <= 1 && request.pid >= 0, "malformed uprobe");
  if (house.uprobeType == 0) return {{-EOPNOTSUPP, 0}};
  auto path = kj::str("/proc/self/fd/", binary.get());
  perf_event_attr event{};
  event.type = house.uprobeType, event.config = uint64_t(request.returns) << house.returnBit;
  event.uprobe_path = reinterpret_cast<uint64_t>(path.cStr()), event.probe_offset = request.offset;
  return openEvent(event, request.pid ? request.pid : -1);
}

static std::vector<std::string> namesIn(int directory) {
  std::vector<std::string> names;
  DIR* entries = fdopendir(fcntl(directory, F_DUPFD_CLOEXEC, 3));
  KJ_REQUIRE(entries, "fdopendir", strerror(errno));
  KJ_DEFER(closedir(entries));
  while (dirent* entry = readdir(entries))
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  return names;
}

// Root's tools make what is in there. Their directories are given away last: what is the worker's already is not looked into again.
Supervisor::Answer Supervisor::shareXdp(const wire::BrokerRequest&, kj::AutoCloseFd) {
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  kj::AutoCloseFd locked(openat(house.xdp.get(), ".", flags));  // not dup(): the lock belongs to whoever opened it
  if (locked.get() < 0) return {{errno == ENOTDIR ? -EOPNOTSUPP : -errno, 0}};
  if (flock(locked.get(), LOCK_EX | LOCK_NB) != 0) return {{-EAGAIN, 10}};
  uid_t worker = house.children[int(Kind::worker)].who.uid;
  for (auto& name : namesIn(locked.get())) {
    kj::AutoCloseFd inner(openat(locked.get(), name.c_str(), flags));
    if (inner.get() < 0) continue;
    for (auto& pin : namesIn(inner.get())) (void)!fchownat(inner.get(), pin.c_str(), worker, 0, AT_SYMLINK_NOFOLLOW);
    (void)!fchown(inner.get(), worker, 0);
  }
  return {{0, 0}, kj::mv(locked)};
}

Supervisor::Answer Supervisor::openXdpProgram(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  bpf_attr get{}, look{};
  bpf_prog_info info{};
  get.prog_id = request.id;
  kj::AutoCloseFd program(syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &get, sizeof get));
  look.info = {uint32_t(program.get()), sizeof info, reinterpret_cast<uint64_t>(&info)};
  if (program.get() < 0 || syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &look, sizeof look) != 0) return {{-errno, 0}};
  return info.type == BPF_PROG_TYPE_XDP ? Answer{{0, 0}, kj::mv(program)} : Answer{{-EPERM, 0}};
}

Supervisor::Answer Supervisor::noteReady(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  KJ_REQUIRE(!ready, "it said twice that it serves");
  ready = true;
  if (request.policyTaken) house.keepPolicy();
  auto line = kj::str("bpfmand: ready, socket ", house.options.socketPath, '\n');
  (void)!write(STDERR_FILENO, line.begin(), line.size());
  tellSystemd("READY=1\n");
  return {};
}

}  // namespace bpfman
