#include "frontend/overview.h"

#include <cstring>
#include <linux/bpf.h>
#include <random>

#include <capnp/message.h>
#include <gtest/gtest.h>

#include "frontend/attachments.h"
#include "frontend/kernel-names.h"

namespace bpfman {
namespace {

template <typename Fixed>
Fixed fixed(uint16_t kind, uint32_t id) {
  Fixed record{};
  record.record = {sizeof(Fixed), kind, OVERVIEW_VERSION};
  record.id = id;
  return record;
}

template <typename Fixed>
void append(std::vector<std::byte>& to, const Fixed& fixed) {
  auto bytes = std::as_bytes(std::span(&fixed, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> programWithMaps(std::vector<uint32_t> ids) {
  std::vector<std::byte> bytes;
  auto program = fixed<bpf::ProgramRecord>(bpf::RECORD_PROGRAM, 7);
  program.mapCount = program.mapsListed = ids.size();
  if (ids.size() % 2) ids.push_back(0);
  program.record.size += 4 * ids.size();
  append(bytes, program);
  for (uint32_t id : ids) append(bytes, id);
  return bytes;
}

schema::KernelProgram::Reader described(capnp::MallocMessageBuilder& message, const KernelProgram& program, Moment moment) {
  auto to = message.initRoot<schema::KernelProgram>();
  describe(program, moment, to);
  return to.asReader();
}

TEST(OverviewRecords, KeepMapIdsOfOddAndEvenNumber) {
  auto bytes = programWithMaps({4, 5, 6}), more = programWithMaps({9, 10});
  bytes.insert(bytes.end(), more.begin(), more.end());
  auto all = decodePrograms(bytes);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].mapIds, (std::vector<uint32_t>{4, 5, 6}));
  EXPECT_EQ(all[1].mapIds, (std::vector<uint32_t>{9, 10}));
}

TEST(OverviewRecords, AreRefusedWhenCutAnywhere) {
  auto bytes = programWithMaps({4, 5, 6});
  for (size_t size = 1; size < bytes.size(); size++) EXPECT_ANY_THROW(decodePrograms(std::span(bytes).first(size))) << size;
  EXPECT_TRUE(decodePrograms({}).empty());
  EXPECT_ANY_THROW(decodeMaps(bytes));
}

TEST(OverviewRecords, NeverReadOutsideWhateverTheBytesAre) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    auto bytes = programWithMaps({4, 5, 6});
    for (int change = 0; change < 3; change++) bytes[random() % bytes.size()] = std::byte(random());
    try {
      for (auto& program : decodePrograms(bytes)) EXPECT_LE(program.mapIds.size(), 64u);
    } catch (const kj::Exception&) {}
  }
}

TEST(KernelProgramDescription, SaysUnknownWithTheReasonInsteadOfZero) {
  KernelProgram program{};
  capnp::MallocMessageBuilder unreadable, off, counted, on;
  EXPECT_TRUE(described(unreadable, program, {.statisticsOn = true}).getRunTime().isUnknown());
  program.flags = bpf::PROGRAM_STATISTICS;
  EXPECT_EQ(described(off, program, {}).getRunCount().getUnknown(), "run statistics are off: sysctl kernel.bpf_stats_enabled=1");
  EXPECT_EQ(described(on, program, {.statisticsOn = true}).getRunCount().getValue(), 0u);
  program.runCount = 3;
  program.runTime = 99;
  EXPECT_EQ(described(counted, program, {}).getRunTime().getValue(), 99u);  // counted earlier
}

TEST(KernelProgramDescription, HasTagNameAndWallClock) {
  KernelProgram program{};
  program.type = BPF_PROG_TYPE_XDP;
  std::memcpy(program.name, "sixteen_letters_", 16);
  program.tag[0] = 0xab;
  program.loadTime = 5;
  capnp::MallocMessageBuilder message;
  auto shown = described(message, program, {.bootTime = 1000});
  EXPECT_EQ(shown.getName(), "sixteen_letters_");
  EXPECT_EQ(shown.getTag(), "ab00000000000000");
  EXPECT_EQ(shown.getLoadedAt(), 1005);
  EXPECT_EQ(shown.getTypeName(), "xdp");
}

TEST(KernelNames, AreUpstreams) {
  EXPECT_EQ(programTypeName(BPF_PROG_TYPE_SCHED_CLS), "schedcls");
  EXPECT_EQ(programTypeName(BPF_PROG_TYPE_RAW_TRACEPOINT), "rawtracepoint");
  EXPECT_EQ(programTypeName(BPF_PROG_TYPE_EXT), "extension");
  EXPECT_EQ(programTypeName(BPF_PROG_TYPE_NETFILTER), "netfilter");
  EXPECT_EQ(programTypeName(4000000000u), "unknown");
  EXPECT_EQ(mapTypeName(BPF_MAP_TYPE_PERCPU_ARRAY), "percpuarray");
  EXPECT_EQ(mapTypeName(BPF_MAP_TYPE_RINGBUF), "ringbuf");
  EXPECT_EQ(mapTypeName(BPF_MAP_TYPE_ARENA), "arena");
  EXPECT_EQ(linkTypeName(BPF_LINK_TYPE_PERF_EVENT), "perf_event");
  EXPECT_EQ(linkTypeName(BPF_LINK_TYPE_SOCKMAP), "sockmap");
  EXPECT_EQ(attachTypeName(BPF_TRACE_KPROBE_SESSION), "tracekprobesession");
  EXPECT_EQ(attachHookName(BPF_TCX_EGRESS), "tcx egress");
  EXPECT_EQ(attachHookName(BPF_CGROUP_INET_EGRESS), "cgroup_skb egress");
  EXPECT_EQ(attachHookName(99999), "");
  EXPECT_NEAR(
      bootTime() / 1e9,
      time(nullptr) -
          [] {
            timespec t;
            clock_gettime(CLOCK_BOOTTIME, &t);
            return t.tv_sec;
          }(),
      2.0);
}

KernelLink tracing(uint32_t id, uint32_t programType) {
  auto link = fixed<bpf::LinkRecord>(bpf::RECORD_LINK, id);
  link.type = BPF_LINK_TYPE_TRACING;
  link.programType = programType;
  link.programId = id + 100;
  link.flags = bpf::LINK_ATTACH_TYPE;
  link.attachType = BPF_TRACE_FENTRY;
  std::strcpy(link.target, "do_unlinkat");
  return link;
}

TEST(Attachments, NameTracingLinksByWhatTheyTrace) {
  auto fentry = tracing(1, BPF_PROG_TYPE_TRACING), freplace = tracing(2, BPF_PROG_TYPE_EXT);
  freplace.targetProgramId = 44;
  std::vector<KernelLink> links{fentry, freplace};
  auto all = joinAttachments({.links = links, .namespaces = {}, .hooks = {}, .cgroupPath = {}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].hook, "fentry");
  EXPECT_EQ(all[0].target, "do_unlinkat");
  EXPECT_EQ(all[1].hook, "freplace");
  EXPECT_EQ(all[1].target, "program 44 do_unlinkat");
}

TEST(Attachments, LeaveOutLinksThatAttachNothingAnyMore) {
  auto gone = fixed<bpf::LinkRecord>(bpf::RECORD_LINK, 1), iterator = gone;
  gone.type = BPF_LINK_TYPE_XDP;
  iterator.type = BPF_LINK_TYPE_ITER;
  std::vector<KernelLink> links{gone, iterator};
  EXPECT_TRUE(joinAttachments({.links = links, .namespaces = {}, .hooks = {}, .cgroupPath = {}}).empty());
}

TEST(Attachments, KeepEqualInterfacesOfTwoNamespacesApart) {
  auto link = fixed<bpf::LinkRecord>(bpf::RECORD_LINK, 1);
  link.type = BPF_LINK_TYPE_XDP;
  link.programId = 9;
  link.ifindex = 2;
  link.netns = 1000;
  std::vector<KernelLink> links{link};
  NetnsView one{.nsid = 1000, .interfaces = {{.index = 2, .name = "eth0", .xdpProgram = 9, .driverProgram = 9}}}, other = one;
  other.nsid = 2000;
  other.interfaces[0].name = "eth7";
  std::vector<NetnsView> spaces{one, other};
  auto all = joinAttachments({.links = links, .namespaces = spaces, .hooks = {}, .cgroupPath = {}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].target, "eth0");
  EXPECT_STREQ(all[0].how, "link");
  EXPECT_EQ(all[1].target, "eth7");
  EXPECT_STREQ(all[1].how, "netlink");
}

}  // namespace
}  // namespace bpfman
