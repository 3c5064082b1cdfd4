#include "frontend/gather.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>

#include <kj/debug.h>

namespace bpfman {

namespace {

constexpr size_t MAX_CGROUPS = 512, BATCH = 256;

constexpr uint32_t CGROUP_HOOKS[] = {
    BPF_CGROUP_INET_INGRESS,
    BPF_CGROUP_INET_EGRESS,
    BPF_CGROUP_INET_SOCK_CREATE,
    BPF_CGROUP_SOCK_OPS,
    BPF_CGROUP_DEVICE,
    BPF_CGROUP_INET4_BIND,
    BPF_CGROUP_INET6_BIND,
    BPF_CGROUP_INET4_CONNECT,
    BPF_CGROUP_INET6_CONNECT,
    BPF_CGROUP_INET4_POST_BIND,
    BPF_CGROUP_INET6_POST_BIND,
    BPF_CGROUP_UDP4_SENDMSG,
    BPF_CGROUP_UDP6_SENDMSG,
    BPF_CGROUP_SYSCTL,
    BPF_CGROUP_UDP4_RECVMSG,
    BPF_CGROUP_UDP6_RECVMSG,
    BPF_CGROUP_GETSOCKOPT,
    BPF_CGROUP_SETSOCKOPT,
    BPF_CGROUP_INET4_GETPEERNAME,
    BPF_CGROUP_INET6_GETPEERNAME,
    BPF_CGROUP_INET4_GETSOCKNAME,
    BPF_CGROUP_INET6_GETSOCKNAME,
    BPF_CGROUP_INET_SOCK_RELEASE,
};

struct Cgroup {
  kj::AutoCloseFd directory;
  std::string path;
  uint64_t id;
};

void walk(int directory, const std::string& path, std::vector<Cgroup>& found) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || found.size() == MAX_CGROUPS) {
    if (fd >= 0) close(fd);
    return;
  }
  struct stat status;
  if (fstat(fd, &status) == 0) {
    kj::AutoCloseFd owned(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    found.push_back({kj::mv(owned), path.empty() ? "/" : path, status.st_ino});
  }
  DIR* entries = fdopendir(fd);
  while (dirent* entry = readdir(entries)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (child < 0) continue;
    kj::AutoCloseFd owned(child);
    walk(child, path + "/" + entry->d_name, found);
  }
  closedir(entries);
}

struct Asked {
  HookView hook;
  kj::Promise<WorkerReply> answer;
};

class Gathering {
 public:
  Gathering(Core& core, SystemView& system, kj::WaitScope& scope) : system(system), scope(scope), place(core.workers.host(scope)) {}

  Gathered run() {
    auto links = system.links(scope);
    NetnsView view{place->nsid, {}, {}};
    KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() {
                   Netlink netlink(place->netlink);
                   view.interfaces = netlink.interfaces();
                   view.filters = netlink.allFilters();
                 }))
      gathered.notes.push_back(kj::str("interfaces: ", exception->getDescription()).cStr());
    for (auto& interface : view.interfaces)
      for (uint32_t type : {BPF_TCX_INGRESS, BPF_TCX_EGRESS})
        ask({type, place->nsid, interface.index, 0, "", {}, {}}, {interface.index, type, 0, 0}, -1);
    collect();
    askCgroups();
    gathered.notes.push_back("network namespaces other than the host's: only what is attached by links is shown");
    std::vector<NetnsView> namespaces;
    namespaces.push_back(std::move(view));
    gathered.attachments = joinAttachments({links, namespaces, hooks, nullptr});
    return std::move(gathered);
  }

 private:
  SystemView& system;
  kj::WaitScope& scope;
  kj::Own<Place> place;
  Gathered gathered;
  std::vector<Asked> asked;
  std::vector<HookView> hooks;

  void ask(HookView hook, const wire::Query& query, int cgroup) {
    auto with = cgroup < 0 ? nullptr : kj::arrayPtr(const_cast<const int*>(&cgroup), 1);
    asked.push_back({std::move(hook), place->worker.call(wire::Op::query, query, nullptr, with)});
    if (asked.size() == BATCH) collect();
  }

  void collect() {
    for (auto& question : asked) {
      auto reply = question.answer.wait(scope);
      wire::QueryAnswer answer;
      if (reply.result <= 0 || reply.tail.size() < sizeof answer) continue;  // nothing there, or a kernel without this hook
      memcpy(&answer, reply.tail.begin(), sizeof answer);
      auto ids = reply.tail.slice(sizeof answer, reply.tail.size());
      auto read = [&](size_t from, std::vector<uint32_t>& to) {
        if (ids.size() < (from + answer.count) * sizeof(uint32_t)) return;
        to.resize(answer.count);
        memcpy(to.data(), ids.begin() + from * sizeof(uint32_t), answer.count * sizeof(uint32_t));
      };
      read(0, question.hook.programIds);
      read(answer.count, question.hook.linkIds);
      hooks.push_back(std::move(question.hook));
    }
    asked.clear();
  }

  void askCgroups() {
    std::vector<Cgroup> cgroups;
    walk(wire::fd::frontend::cgroups, "", cgroups);
    if (cgroups.empty()) gathered.notes.push_back("cgroups: the machine has no cgroup2 hierarchy");
    if (cgroups.size() == MAX_CGROUPS) gathered.notes.push_back(kj::str("cgroups: only the first ", MAX_CGROUPS, " were looked at").cStr());
    for (auto& cgroup : cgroups)
      for (uint32_t type : CGROUP_HOOKS) ask({type, 0, 0, cgroup.id, cgroup.path, {}, {}}, {0, type, 0, 0}, cgroup.directory);
    collect();
  }
};

}  // namespace

Gathered gatherAttachments(Core& core, SystemView& system, kj::WaitScope& scope) { return Gathering(core, system, scope).run(); }

}  // namespace bpfman
