// What the frontend may ask of the broker: schema/broker.h says what each operation takes and returns.
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
#include <filesystem>

#include "broker/supervise.h"

namespace bpfman {

// In the order of BrokerOp.
const Supervisor::Operation Supervisor::OPERATIONS[] = {
    {true, &Supervisor::startWorker},     {false, &Supervisor::startLoader},    {true, &Supervisor::openEvent},
    {false, &Supervisor::shareXdp},       {false, &Supervisor::openXdpProgram}, {false, &Supervisor::noteReady},
    {false, &Supervisor::startDelegator}, {false, &Supervisor::openModule},
};

constexpr size_t HOST_WORKERS = 4, FOREIGN_WORKERS = 32, LOADERS = 64, DELEGATORS = 8;  // at once

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static bool consistsOf(const char* text, const char* letters) { return *text != 0 && text[strspn(text, letters)] == 0; }

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

// The words become a path only here, beneath our tracefs descriptor.
static int64_t tracepointId(int tracefs, const wire::BrokerRequest& request) {
  if (!consistsOf(request.group, LETTERS "-") || !consistsOf(request.name, LETTERS "-")) return -EINVAL;
  auto path = kj::str("events/", request.group + 0, '/', request.name + 0, "/id");
  kj::AutoCloseFd file(openat(tracefs, path.cStr(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.get() < 0) return errno == ENOTDIR ? -EOPNOTSUPP : -errno;
  char text[32] = {};
  KJ_SYSCALL(read(file.get(), text, sizeof text - 1));
  return strtoll(text, nullptr, 10);
}

// An event of the whole system is opened on one CPU: a program's link to a tracepoint or a probe runs on all. The kernel wants a path of a
// binary, and the descriptor has one, which nobody can change meanwhile.
Supervisor::Answer Supervisor::openEvent(const wire::BrokerRequest& request, kj::AutoCloseFd binary) {
  bool uprobe = request.kind == wire::EventKind::uprobe, hardware = request.kind == wire::EventKind::hardware;
  KJ_REQUIRE(request.kind < wire::EventKind::count && request.returns <= 1 && request.frequent <= 1 && request.pid >= 0 &&
                 request.cpu >= -1 && !request.group[63] && !request.name[127] && (uprobe || binary.get() < 0),
             "malformed event");
  perf_event_attr event{};
  event.size = sizeof event, event.type = hardware ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE, event.config = request.where;
  auto place = uprobe ? kj::str("/proc/self/fd/", binary.get()) : kj::str(request.name + 0);
  if (request.kind == wire::EventKind::tracepoint) {
    int64_t id = tracepointId(house.tracefs.get(), request);
    if (id < 0) return {{int32_t(id), 0}};
    event.type = PERF_TYPE_TRACEPOINT, event.config = id;
  } else if (uprobe || request.kind == wire::EventKind::kprobe) {
    const ProbeType& type = uprobe ? house.uprobe : house.kprobe;
    if (!uprobe && !consistsOf(request.name, LETTERS ".")) return {{-EINVAL, 0}};
    if (type.number == 0) return {{-EOPNOTSUPP, 0}};
    event.type = type.number, event.config = uint64_t(request.returns) << type.returnBit;
    event.uprobe_path = reinterpret_cast<uint64_t>(place.cStr()), event.probe_offset = request.where;  // or kprobe_func, the same field
  } else {
    event.freq = request.frequent, event.sample_period = request.often;  // or sample_freq, the same field
  }
  kj::AutoCloseFd descriptor(syscall(SYS_perf_event_open, &event, request.pid ? request.pid : -1, request.cpu, -1, PERF_FLAG_FD_CLOEXEC));
  return {{descriptor.get() < 0 ? -errno : 0, 0}, kj::mv(descriptor)};
}

static std::vector<std::string> namesIn(int directory) {
  std::vector<std::string> names;
  std::error_code error;  // then there are no more
  for (std::filesystem::directory_iterator each(kj::str("/proc/self/fd/", directory).cStr(), error), end; each != end;
       each.increment(error))
    names.push_back(each->path().filename());
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

// An object by its id, and what the kernel says of it; -1, and errno.
static kj::AutoCloseFd openById(int command, uint32_t id, void* info, uint32_t size) {
  bpf_attr get{}, look{};
  get.prog_id = id;  // of each kind, the same field
  kj::AutoCloseFd object(syscall(SYS_bpf, command, &get, sizeof get));
  look.info = {uint32_t(object.get()), size, reinterpret_cast<uint64_t>(info)};
  return object.get() >= 0 && syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &look, sizeof look) == 0 ? kj::mv(object) : kj::AutoCloseFd();
}

Supervisor::Answer Supervisor::openXdpProgram(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  bpf_prog_info info{};
  auto program = openById(BPF_PROG_GET_FD_BY_ID, request.id, &info, sizeof info);
  if (program.get() >= 0 && info.type != BPF_PROG_TYPE_XDP) return {{-EPERM, 0}};
  return {{program.get() < 0 ? -errno : 0, 0}, kj::mv(program)};
}

// Only the kernel's own types have a name; those of a program never do.
Supervisor::Answer Supervisor::openModule(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  char name[64];
  bpf_attr each{};
  for (; syscall(SYS_bpf, BPF_BTF_GET_NEXT_ID, &each, sizeof each) == 0; each.start_id = each.next_id) {
    bpf_btf_info info{0, 0, 0, reinterpret_cast<uint64_t>(name), sizeof name, 0};
    auto types = openById(BPF_BTF_GET_FD_BY_ID, each.next_id, &info, sizeof info);
    if (types.get() >= 0 && info.kernel_btf && strcmp(name, request.name) == 0) return {{0, 0}, kj::mv(types)};
  }
  return {{-errno, 0}};
}

Supervisor::Answer Supervisor::noteReady(const wire::BrokerRequest& request, kj::AutoCloseFd) {
  KJ_REQUIRE(!ready, "it said twice that it serves");
  ready = true;
  if (request.policyTaken) house.keepPolicy();
  dprintf(STDERR_FILENO, "bpfmand: ready, socket %s\n", house.options.socketPath.cStr());
  tellSystemd("READY=1\n");
  return {};
}

Supervisor::Answer Supervisor::startDelegator(const wire::BrokerRequest&, kj::AutoCloseFd) {
  if (count(Kind::delegator, false) >= DELEGATORS) return {{-EMFILE, 0}};
  kj::AutoCloseFd job, ours = newPair(job);
  startChild(Kind::delegator, false, {job.get(), house.ceiling.get()});
  return {{0, 0}, kj::mv(ours)};
}

}  // namespace bpfman
