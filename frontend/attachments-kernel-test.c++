// Attachments of every sort on this kernel, in a network namespace and a cgroup of the test's own: links by the iterator, the rest by
// rtnetlink and queries, joined.
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <fstream>

#include "frontend/attachments.h"
#include "frontend/kernel-btf.h"
#include "frontend/netlink.h"
#include "frontend/overview-fixture.h"

namespace bpfman::testing {
namespace {

constexpr const char* CGROUPS[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};

struct OwnNamespace {  // this process moves into a new network namespace; it ends with the process
  uint64_t nsid = 0;
  uint32_t first = 0, second = 0;
  std::string failure;

  OwnNamespace() {
    if (unshare(CLONE_NEWNET) != 0 || !run("ip link add d0 type veth peer name d1") || !run("ip link set d0 up")) {
      failure = "can't make a network namespace with a veth pair";
      return;
    }
    struct stat status;
    stat("/proc/self/ns/net", &status);
    nsid = status.st_ino;
    first = if_nametoindex("d0");
    second = if_nametoindex("d1");
  }
};

class AttachmentsOnKernel : public ::testing::Test {
 protected:
  static inline std::unique_ptr<OwnNamespace> space;
  static inline std::unique_ptr<Iterators> iterators;
  std::vector<std::unique_ptr<kj::AutoCloseFd>> held;

  static void SetUpTestSuite() {
    iterators = std::make_unique<Iterators>(loadWithThreeCapabilities());
    space = std::make_unique<OwnNamespace>();
  }
  static void TearDownTestSuite() { iterators = nullptr; }
  void SetUp() override {
    if (iterators->object == nullptr) CANNOT_RUN(iterators->failure);
    if (!space->failure.empty()) CANNOT_RUN(space->failure);
  }

  int hold(kj::AutoCloseFd descriptor) { return *held.emplace_back(std::make_unique<kj::AutoCloseFd>(kj::mv(descriptor))); }
  uint32_t link(int descriptor) {
    EXPECT_GE(descriptor, 0) << strerror(-descriptor);
    return descriptor < 0 ? 0 : idOf<bpf_link_info>(hold(kj::AutoCloseFd(descriptor)));
  }

  NetnsView view() {
    kj::AutoCloseFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    Netlink netlink(socket.get());
    return {.nsid = space->nsid, .interfaces = netlink.interfaces(), .filters = netlink.allFilters()};
  }

  HookView query(int target, bpf_attach_type type) {
    uint32_t programs[64], links[64];
    LIBBPF_OPTS(bpf_prog_query_opts, options, .prog_ids = programs, .prog_cnt = 64, .link_ids = type >= BPF_TCX_INGRESS ? links : nullptr);
    EXPECT_EQ(bpf_prog_query_opts(target, type, &options), 0);
    HookView hook{.attachType = type};
    hook.programIds.assign(programs, programs + options.prog_cnt);
    if (type >= BPF_TCX_INGRESS) hook.linkIds.assign(links, links + options.prog_cnt);
    return hook;
  }

  std::vector<Attachment> join(std::vector<HookView> hooks = {}) {
    auto links = iterators->allLinks();
    std::vector<NetnsView> spaces{view()};
    return joinAttachments({.links = links, .namespaces = spaces, .hooks = hooks, .cgroupPath = {}});
  }

  static std::vector<Attachment> of(const std::vector<Attachment>& all, uint32_t program) {
    std::vector<Attachment> some;
    std::copy_if(all.begin(), all.end(), std::back_inserter(some), [&](auto& one) { return one.programId == program; });
    return some;
  }
};

#define EXPECT_ONE(all_, program_, hook_, target_, how_, link_) \
  do {                                                          \
    auto some = of(all_, program_);                             \
    ASSERT_EQ(some.size(), 1u);                                 \
    EXPECT_EQ(some[0].hook, hook_);                             \
    EXPECT_EQ(some[0].target, target_);                         \
    EXPECT_STREQ(some[0].how, how_);                            \
    EXPECT_EQ(some[0].linkId, uint32_t(link_));                 \
  } while (false)

TEST_F(AttachmentsOnKernel, ListsXdpByLinkAndByNetlinkOnceEach) {
  int linked = hold(program(BPF_PROG_TYPE_XDP, "d_xdp")), plain = hold(program(BPF_PROG_TYPE_XDP, "d_xdpnl"));
  uint32_t id = link(bpf_link_create(linked, space->first, BPF_XDP, nullptr));
  ASSERT_EQ(bpf_xdp_attach(space->second, plain, 1u << 1 /* generic */, nullptr), 0);
  auto all = join();
  EXPECT_ONE(all, idOf<bpf_prog_info>(linked), "xdp", "d0", "link", id);
  EXPECT_ONE(all, idOf<bpf_prog_info>(plain), "xdp generic", "d1", "netlink", 0);
  EXPECT_EQ(of(all, idOf<bpf_prog_info>(linked))[0].nsid, space->nsid);

  auto said = bpftool("net show");
  ASSERT_EQ(said[0]["xdp"].size(), 2u);
  for (auto& one : said[0]["xdp"]) {
    auto interfaces = view().interfaces;
    auto interface = std::find_if(interfaces.begin(), interfaces.end(), [&](auto& it) { return it.index == one["ifindex"]; });
    ASSERT_NE(interface, interfaces.end());
    EXPECT_EQ(interface->xdpProgram, one["id"]);
    EXPECT_EQ(interface->name, one["devname"].get<std::string>());
    EXPECT_EQ(interface->xdpMode, one["mode"] == "generic" ? XdpMode::generic : XdpMode::driver);
  }
  bpf_xdp_detach(space->second, 1u << 1, nullptr);
}

TEST_F(AttachmentsOnKernel, ListsClsactFiltersInTheirOrder) {
  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = int(space->first), .attach_point = BPF_TC_INGRESS);
  ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
  std::vector<uint32_t> ids;
  for (uint32_t priority : {20u, 10u}) {
    int filter = hold(program(BPF_PROG_TYPE_SCHED_CLS, "d_filter"));
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = filter, .handle = 7, .priority = priority);
    ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);
    ids.push_back(idOf<bpf_prog_info>(filter));
  }
  int egress = hold(program(BPF_PROG_TYPE_SCHED_CLS, "d_egress"));
  hook.attach_point = BPF_TC_EGRESS;
  LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = egress, .handle = 1, .priority = 3);
  ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);

  auto all = join();
  EXPECT_ONE(all, ids[0], "tc ingress", "d0", "filter", 0);
  EXPECT_ONE(all, ids[1], "tc ingress", "d0", "filter", 0);
  EXPECT_ONE(all, idOf<bpf_prog_info>(egress), "tc egress", "d0", "filter", 0);
  EXPECT_EQ(of(all, ids[1])[0].position, 0);
  EXPECT_EQ(of(all, ids[0])[0].position, 1);
  auto filters = view().filters;
  ASSERT_EQ(filters.size(), 3u);
  EXPECT_EQ(filters[0].priority, 10u);
  EXPECT_EQ(filters[0].handle, 7u);
  EXPECT_TRUE(filters[0].directAction);
  auto said = bpftool("net show")[0]["tc"];
  ASSERT_EQ(said.size(), filters.size());
  for (auto& one : said)
    EXPECT_TRUE(std::any_of(filters.begin(), filters.end(),
                            [&](auto& it) { return it.name == one["name"].get<std::string>() && it.programId == one["id"]; }));
  run("tc qdisc del dev d0 clsact");
}

TEST_F(AttachmentsOnKernel, ListsTcxWithAndWithoutLinkInTheirOrder) {
  int linked = hold(program(BPF_PROG_TYPE_SCHED_CLS, "d_tcx")), plain = hold(program(BPF_PROG_TYPE_SCHED_CLS, "d_tcxplain"));
  int descriptor = bpf_link_create(linked, space->first, BPF_TCX_INGRESS, nullptr);
  if (descriptor == -EINVAL) CANNOT_RUN("this kernel has no TCX");
  uint32_t id = link(descriptor);
  LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_BEFORE);
  ASSERT_EQ(bpf_prog_attach_opts(plain, space->first, BPF_TCX_INGRESS, &options), 0);
  auto hook = query(space->first, BPF_TCX_INGRESS);
  hook.nsid = space->nsid;
  hook.ifindex = space->first;
  auto all = join({hook});
  EXPECT_ONE(all, idOf<bpf_prog_info>(linked), "tcx ingress", "d0", "link", id);
  EXPECT_ONE(all, idOf<bpf_prog_info>(plain), "tcx ingress", "d0", "attach", 0);
  EXPECT_EQ(of(all, idOf<bpf_prog_info>(plain))[0].position, 0);
  EXPECT_EQ(of(all, idOf<bpf_prog_info>(linked))[0].position, 1);
}

TEST_F(AttachmentsOnKernel, ListsCgroupProgramsWithAndWithoutLink) {
  std::string path;
  for (auto root : CGROUPS) {
    std::string candidate = std::string(root) + "/bpfman-d-" + std::to_string(getpid());
    if (access((std::string(root) + "/cgroup.controllers").c_str(), F_OK) == 0 && mkdir(candidate.c_str(), 0755) == 0) path = candidate;
    if (!path.empty()) break;
  }
  if (path.empty()) CANNOT_RUN("no cgroup2 hierarchy is mounted");
  kj::AutoCloseFd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int linked = hold(program(BPF_PROG_TYPE_CGROUP_SKB, "d_cglink", BPF_CGROUP_INET_EGRESS));
  int plain = hold(program(BPF_PROG_TYPE_CGROUP_SKB, "d_cgplain", BPF_CGROUP_INET_EGRESS));
  uint32_t id = link(bpf_link_create(linked, cgroup.get(), BPF_CGROUP_INET_EGRESS, nullptr));
  EXPECT_EQ(bpf_prog_attach(plain, cgroup.get(), BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI), 0);

  auto hook = query(cgroup.get(), BPF_CGROUP_INET_EGRESS);
  struct stat status;
  fstat(cgroup.get(), &status);
  hook.cgroupId = status.st_ino;
  hook.cgroupPath = path;
  auto all = join({hook});
  EXPECT_ONE(all, idOf<bpf_prog_info>(linked), "cgroup_skb egress", path, "link", id);
  EXPECT_ONE(all, idOf<bpf_prog_info>(plain), "cgroup_skb egress", path, "attach", 0);
  EXPECT_EQ(of(all, idOf<bpf_prog_info>(linked))[0].position + of(all, idOf<bpf_prog_info>(plain))[0].position, 1);
  bpf_prog_detach2(plain, cgroup.get(), BPF_CGROUP_INET_EGRESS);
  held.clear();
  EXPECT_EQ(rmdir(path.c_str()), 0);
}

TEST_F(AttachmentsOnKernel, NamesTheTracepoints) {
  kj::AutoCloseFd vmlinux(open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC));
  KernelBtf btf(vmlinux.get());
  uint32_t type = 0;
  KJ_IF_MAYBE (id, btf.tracepointId("sched_switch")) type = *id;
  int raw = hold(program(BPF_PROG_TYPE_RAW_TRACEPOINT, "d_raw"));
  int typed = hold(program(BPF_PROG_TYPE_TRACING, "d_typed", BPF_TRACE_RAW_TP, type));
  uint32_t rawLink = link(bpf_raw_tracepoint_open("sys_enter", raw)), typedLink = link(bpf_raw_tracepoint_open(nullptr, typed));
  auto all = join();
  EXPECT_ONE(all, idOf<bpf_prog_info>(raw), "raw_tracepoint", "sys_enter", "link", rawLink);
  EXPECT_ONE(all, idOf<bpf_prog_info>(typed), "tp_btf", "sched_switch", "link", typedLink);
}

int perfEvent(perf_event_attr attributes) {
  attributes.size = sizeof(attributes);
  return syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

TEST_F(AttachmentsOnKernel, NamesTraceEventsOfBothSorts) {
  bool mounted = mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) == 0;
  uint64_t ids[2] = {};
  std::ifstream("/sys/kernel/tracing/events/syscalls/sys_enter_kill/id") >> ids[0];
  std::ifstream("/sys/kernel/tracing/events/sched/sched_switch/id") >> ids[1];
  if (mounted) umount2("/sys/kernel/tracing", MNT_DETACH);
  if (ids[0] == 0 || ids[1] == 0) CANNOT_RUN("tracefs can't be read");
  const char* names[] = {"syscalls/sys_enter_kill", "sched/sched_switch"};
  for (int i = 0; i < 2; i++) {
    int tracepoint = hold(program(BPF_PROG_TYPE_TRACEPOINT, "d_tp"));
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_TRACEPOINT;
    attributes.config = ids[i];
    int event = hold(kj::AutoCloseFd(perfEvent(attributes)));
    uint32_t id = link(bpf_link_create(tracepoint, event, BPF_PERF_EVENT, nullptr));
    auto all = join();
    EXPECT_ONE(all, idOf<bpf_prog_info>(tracepoint), "tracepoint", names[i], "link", id);
  }
}

TEST_F(AttachmentsOnKernel, NamesTheFileAndOffsetOfAUprobe) {
  uint32_t type = 0;
  std::ifstream("/sys/bus/event_source/devices/uprobe/type") >> type;
  if (type == 0) CANNOT_RUN("this kernel has no uprobes");
  perf_event_attr attributes{};
  attributes.type = type;
  attributes.uprobe_path = uint64_t("/bin/true");
  attributes.probe_offset = 0x2000;
  int descriptor = perfEvent(attributes);
  if (descriptor < 0) CANNOT_RUN("this kernel refuses uprobes");
  int event = hold(kj::AutoCloseFd(descriptor)), probe = hold(program(BPF_PROG_TYPE_KPROBE, "d_uprobe"));
  int attached = bpf_link_create(probe, event, BPF_PERF_EVENT, nullptr);
  if (attached < 0) CANNOT_RUN("this kernel refuses programs on uprobes");
  uint32_t id = link(attached);
  auto all = join();
  EXPECT_ONE(all, idOf<bpf_prog_info>(probe), "uprobe", "/bin/true+0x2000", "link", id);
}

TEST_F(AttachmentsOnKernel, ShowsEachLinkAsBpftoolDoes) {
  int linked = hold(program(BPF_PROG_TYPE_XDP, "d_xdp"));
  link(bpf_link_create(linked, space->first, BPF_XDP, nullptr));
  auto all = iterators->allLinks();
  size_t compared = 0;
  for (auto& said : bpftool("link show")) {
    auto link = find(all, said["id"]);
    if (link == nullptr) continue;
    compared++;
    EXPECT_EQ(said.value("prog_id", 0u), link->programId);
    if (said["type"] == "xdp") { EXPECT_EQ(said.value("ifindex", 0u), link->ifindex); }
    if (said["type"] == "iter") { EXPECT_EQ(said["target_name"], linkTarget(*link)); }
    if (said["type"] == "raw_tracepoint") { EXPECT_EQ(said["tp_name"], linkTarget(*link)); }
  }
  EXPECT_GE(compared, 4u);
}

}  // namespace
}  // namespace bpfman::testing
