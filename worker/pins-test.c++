// A pin is typed words; the path is made here and nowhere else. Whatever could lead out of our bpffs ends the process. Needs no root.
#include "worker/pins.h"
#include "worker/recording-bpf.h"

namespace bpfman {
namespace {

using wire::Dir;
using wire::Op;
using wire::Pin;

TEST(WorkerPins, AreWhereTheContractSaysThatTheyAre) {
  struct {
    Pin pin;
    const char* path;
    wire::Kind kind;
  } rows[] = {
      {pinOf(Dir::loads, "p"), "loads/1/p2", wire::Kind::program},
      {pinOf(Dir::loads, "m"), "loads/1/m2", wire::Kind::map},
      {pinOf(Dir::programs), "./prog_1", wire::Kind::program},
      {pinOf(Dir::maps, "counters_Of_3"), "maps/1/counters_Of_3", wire::Kind::map},
      {pinOf(Dir::links), "links/1", wire::Kind::link},
      {pinOf(Dir::dispatchers, "link"), "xdp/dispatcher_1_2_link", wire::Kind::link},
      {pinOf(Dir::members), "xdp/dispatcher_1_2/link_3", wire::Kind::program},
      {pinOf(Dir::tcIngress, "link"), "tc-ingress/dispatcher_1_2_link", wire::Kind::link},
      {pinOf(Dir::tcEgress, "link"), "tc-egress/dispatcher_1_2_link", wire::Kind::link},
      {pinOf(Dir::tcIngressMembers), "tc-ingress/dispatcher_1_2/link_3", wire::Kind::program},
      {pinOf(Dir::tcEgressMembers), "tc-egress/dispatcher_1_2/link_3", wire::Kind::program},
      {pinOf(Dir::tcxIngress), "tcx-ingress/link_1_2_3", wire::Kind::link},
      {pinOf(Dir::tcxEgress), "tcx-egress/link_1_2_3", wire::Kind::link},
      {pinOf(Dir::netkitPrimary), "netkit-primary/link_1_2_3", wire::Kind::link},
      {pinOf(Dir::netkitPeer), "netkit-peer/link_1_2_3", wire::Kind::link},
      {pinOf(Dir::iterators, "programs"), "iterators/programs", wire::Kind::link},
      {pinOf(Dir::version), "./version_1", wire::Kind::map},
      {pinOf(Dir::xdpPrograms), "libxdp/dispatch-1-2/prog3-prog", wire::Kind::program},
      {pinOf(Dir::xdpLinks), "libxdp/dispatch-1-2/prog3-link", wire::Kind::link},
  };
  ASSERT_EQ(std::size(rows), size_t(Dir::count) + 1);
  for (auto& row : rows) {
    EXPECT_STREQ(pathOf(row.pin).text, row.path);
    EXPECT_EQ(kindOf(row.pin), row.kind) << row.path;
  }
}

TEST(WorkerPins, LargestNumbersAndTheLongestNameFit) {
  std::string longest(wire::NAME - 1, 'x');
  Pin pin = pinOf(Dir::dispatchers, longest.c_str(), ~0u, ~0u, ~0u);
  EXPECT_EQ(std::string(pathOf(pin).text), "xdp/dispatcher_4294967295_4294967295_" + longest);
}

TEST(WorkerPins, ANameWithAnythingButLettersDigitsAndUnderscoresEndsTheProcess) {
  for (Dir dir : {Dir::maps, Dir::iterators, Dir::dispatchers})
    for (const char* name : {"..", ".", "a.b", "../links", "a/b", "/", "a b", "a-b", "a%s", "a%4$n", "\xc3\xa4", "a\n", "\x7f"})
      EXPECT_DEATH_BY_LINE(pathOf(pinOf(dir, name)), "pin with a bad name") << name;
}

TEST(WorkerPins, ANameThatDoesNotEndOrIsNotPaddedEndsTheProcess) {
  Pin endless = pinOf(Dir::maps, std::string(wire::NAME, 'x').c_str());
  EXPECT_DEATH_BY_LINE(pathOf(endless), "pin with a bad name");
  for (size_t at : {size_t(2), wire::NAME / 2, wire::NAME - 1}) {
    Pin behind = pinOf(Dir::maps, "a");
    behind.name[at] = 'b';
    EXPECT_DEATH_BY_LINE(pathOf(behind), "pin with a bad name") << at;
  }
}

TEST(WorkerPins, ANameWhereNoneBelongsOrNoneWhereOneDoesEndsTheProcess) {
  for (Dir dir : {Dir::programs, Dir::links, Dir::members, Dir::tcxIngress, Dir::tcxEgress, Dir::version})
    EXPECT_DEATH_BY_LINE(pathOf(pinOf(dir, "a")), "pin with a bad name");
  for (Dir dir : {Dir::maps, Dir::iterators, Dir::dispatchers, Dir::loads}) EXPECT_DEATH_BY_LINE(pathOf(pinOf(dir)), "pin with a bad name");
  for (const char* name : {"x", "pp", "mp", "p0"}) EXPECT_DEATH_BY_LINE(pathOf(pinOf(Dir::loads, name)), "a load has only p and m") << name;
}

TEST(WorkerPins, AnUnknownDirectoryEndsTheProcess) {
  for (uint32_t dir : {uint32_t(Dir::count), 1000u, ~0u}) {
    EXPECT_DEATH_BY_LINE(pathOf(pinOf(Dir(dir))), "unknown directory");
    EXPECT_DEATH_BY_LINE(directoryOf(pinOf(Dir(dir))), "unknown directory");
    EXPECT_DEATH_BY_LINE(kindOf(pinOf(Dir(dir))), "unknown directory");
  }
}

// ---- what the frontend may do with pins ----

class WorkerControl : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  template <typename T>
  int64_t control(Op op, const T& fixed, const std::vector<uint8_t>& tail = {}, int descriptors = 0) {
    Request request = requestOf(op, fixed, tail);
    for (int i = 0; i < descriptors; ++i) request.descriptors[request.descriptorCount++] = Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    return perform(context, request, Control).result;
  }
  wire::CreateLink tcx() {
    wire::CreateLink wish{};
    wish.program = pinOf(Dir::loads, "p");
    wish.to = pinOf(Dir::tcxIngress);
    wish.kind = wire::LinkKind::tcx;
    wish.attachType = BPF_TCX_INGRESS;
    return wish;
  }
};

TEST_F(WorkerControl, EachOperationOnAPinDiesOfABadOne) {
  Pin bad = pinOf(Dir::maps, "..");
  EXPECT_DEATH_BY_LINE(control(Op::remove, bad), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::inspect, bad), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::openObject, wire::OpenObject{bad, 0, 0}), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::lookup, wire::Element{bad, 0, 0, 0, 0}), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::readMap, wire::ReadMap{bad, 0, 0, 0, 0}), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::setSlot, wire::SetSlot{bad, {}, 0, 0}), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::loads, "m"), bad}), "bad name");
  EXPECT_DEATH_BY_LINE(control(Op::list, wire::List{pinOf(Dir::count), 0, 0}), "unknown directory");
  EXPECT_EQ(bpf.calls.size(), 0u);
}

TEST_F(WorkerControl, OnlyMapsAndHarmlessProgramsAreHandedOverAndOnlyWithKnownFlags) {
  for (Pin pin : {pinOf(Dir::links), pinOf(Dir::iterators, "a")})
    EXPECT_DEATH_BY_LINE(control(Op::openObject, wire::OpenObject{pin, 0, 0}), "not to be opened");
  EXPECT_DEATH_BY_LINE(control(Op::openObject, wire::OpenObject{pinOf(Dir::maps, "a"), BPF_F_MMAPABLE, 0}), "not to be opened");
  EXPECT_DEATH_BY_LINE(control(Op::openObject, wire::OpenObject{pinOf(Dir::loads, "p"), BPF_F_RDONLY, 0}), "not to be opened");
  for (uint32_t type : {BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_KPROBE}) {
    bpf.mapInfo.type = type;  // the first word of a program's too
    EXPECT_DEATH_BY_LINE(control(Op::openObject, wire::OpenObject{pinOf(Dir::loads, "p"), 0, 0}), "not to be handed over") << type;
  }
  for (uint32_t type : {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SK_REUSEPORT}) {
    bpf.mapInfo.type = type;
    EXPECT_EQ(control(Op::openObject, wire::OpenObject{pinOf(Dir::loads, "p"), 0, 0}), 0);
  }
  EXPECT_DEATH_BY_LINE(control(Op::openIterator, wire::OpenIterator{pinOf(Dir::tcxIngress), {}}), "not an iterator");
  for (Pin map : {pinOf(Dir::loads, "p"), pinOf(Dir::links), pinOf(Dir::iterators, "a")})
    EXPECT_DEATH_BY_LINE(control(Op::openIterator, wire::OpenIterator{pinOf(Dir::loads, "p"), map}), "not an iterator");
  EXPECT_EQ(control(Op::openObject, wire::OpenObject{pinOf(Dir::maps, "a"), BPF_F_RDONLY, 0}), 0);
  EXPECT_EQ(bpf.last(BPF_OBJ_GET).attr.file_flags, uint32_t(BPF_F_RDONLY));
}

TEST_F(WorkerControl, OnlyWhatALoadHasIsPublishedAndOnlyAsWhatItIs) {
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::programs), pinOf(Dir::programs)}), "publish");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::loads, "p"), pinOf(Dir::maps, "a")}), "publish");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::loads, "p"), pinOf(Dir::links)}), "publish");
  EXPECT_EQ(control(Op::publish, wire::Publish{pinOf(Dir::loads, "p"), pinOf(Dir::programs)}), 0);
  EXPECT_EQ(bpf.files.back(), "pin ./prog_1");
}

TEST_F(WorkerControl, AProgramThatComesAsADescriptorBecomesAMemberOrALoadAndNothingElse) {
  bpf.mapInfo.type = BPF_PROG_TYPE_XDP, bpf.verified = 2;
  for (Dir dir : {Dir::programs, Dir::xdpPrograms, Dir::tcIngressMembers})
    EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{Pin{}, pinOf(dir)}, {}, 1), "publish");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{Pin{}, pinOf(Dir::loads, "m")}, {}, 1), "publish");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::loads, "m"), pinOf(Dir::loads, "m")}, {}, 1), "publish");
  EXPECT_DEATH_BY_LINE(control(Op::publish, wire::Publish{pinOf(Dir::loads, "m"), pinOf(Dir::members)}, {}, 1), "publish");
  EXPECT_EQ(control(Op::publish, wire::Publish{Pin{}, pinOf(Dir::members)}, {}, 1), 0);
  EXPECT_EQ(bpf.files.back(), "pin xdp/dispatcher_1_2/link_3");
  EXPECT_EQ(control(Op::publish, wire::Publish{Pin{}, pinOf(Dir::loads, "p")}, {}, 1), 0);
  EXPECT_EQ(bpf.files.back(), "pin loads/1/p2");
  EXPECT_EQ(bpf.count(BPF_OBJ_GET), 0u);
}

TEST_F(WorkerControl, ADescriptorIsPinnedOnlyIfTheKernelSaysThatItIsAProgramWithinTheCeiling) {
  auto take = [&](Pin to) { return control(Op::publish, wire::Publish{Pin{}, to}, {}, 1); };
  for (Pin to : {pinOf(Dir::members), pinOf(Dir::loads, "p")}) {
    bpf.mapInfo.type = BPF_PROG_TYPE_XDP, bpf.verified = 0;  // a map or a link of that number
    EXPECT_EQ(take(to), -EPERM);
    bpf.mapInfo.type = BPF_PROG_TYPE_LSM, bpf.verified = 2;
    EXPECT_EQ(take(to), -EPERM);
    bpf.mapInfo.type = 64 + BPF_PROG_TYPE_XDP;
    EXPECT_EQ(take(to), -EPERM);
    bpf.answers[BPF_OBJ_GET_INFO_BY_FD] = -EINVAL;  // nothing of the kernel's bpf
    EXPECT_EQ(take(to), -EINVAL);
    bpf.answers.clear();
  }
  EXPECT_TRUE(bpf.files.empty()) << bpf.files.back();
  EXPECT_EQ(bpf.count(BPF_OBJ_PIN), 0u);
}

TEST_F(WorkerControl, NumbersThatTheKernelTakesForDescriptorsNeverComeFromTheFrontend) {
  for (uint32_t type :
       {BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_ARRAY_OF_MAPS}) {
    bpf.mapInfo.type = type;
    bpf.mapInfo.key_size = bpf.mapInfo.value_size = 4;
    EXPECT_DEATH_BY_LINE(control(Op::update, wire::Element{pinOf(Dir::maps, "a"), 4, 4, 0, 0}, std::vector<uint8_t>(8)), "are descriptors")
        << type;
  }
  EXPECT_DEATH_BY_LINE(control(Op::setSlot, wire::SetSlot{pinOf(Dir::maps, "a"), pinOf(Dir::loads, "p"), 0, 1}), "a slot of map type");
  bpf.mapInfo.type = BPF_MAP_TYPE_PROG_ARRAY;
  EXPECT_DEATH_BY_LINE(control(Op::setSlot, wire::SetSlot{pinOf(Dir::maps, "a"), pinOf(Dir::links), 0, 1}), "not a program");
  EXPECT_EQ(bpf.count(BPF_MAP_UPDATE_ELEM), 0u);
}

TEST_F(WorkerControl, AnElementHasTheSizesThatTheKernelSays) {
  bpf.mapInfo.type = BPF_MAP_TYPE_PERCPU_ARRAY;
  bpf.mapInfo.key_size = bpf.mapInfo.value_size = 4;  // 4 CPUs: 32 bytes for the system call
  EXPECT_DEATH_BY_LINE(control(Op::lookup, wire::Element{pinOf(Dir::maps, "a"), 4, 0, 0, 0}, std::vector<uint8_t>(3)), "element of");
  EXPECT_DEATH_BY_LINE(control(Op::update, wire::Element{pinOf(Dir::maps, "a"), 4, ~0u, 0, 0}, std::vector<uint8_t>(3)), "element of");
  EXPECT_EQ(control(Op::lookup, wire::Element{pinOf(Dir::maps, "a"), 5, 0, 0, 0}, std::vector<uint8_t>(5)), -EINVAL);
  EXPECT_EQ(control(Op::update, wire::Element{pinOf(Dir::maps, "a"), 4, 4, 0, 0}, std::vector<uint8_t>(8)), -EINVAL);
  EXPECT_EQ(control(Op::update, wire::Element{pinOf(Dir::maps, "a"), 4, 32, 0, 0}, std::vector<uint8_t>(36)), 0);
  bpf.mapInfo.value_size = 16 << 10;  // 64 KiB for 4 CPUs: more than an answer holds
  EXPECT_EQ(control(Op::lookup, wire::Element{pinOf(Dir::maps, "a"), 4, 0, 0, 0}, std::vector<uint8_t>(4)), -EINVAL);
  EXPECT_EQ(control(Op::readMap, wire::ReadMap{pinOf(Dir::maps, "a"), 4, 0, 0, 0}), -EINVAL);
  EXPECT_DEATH_BY_LINE(control(Op::readMap, wire::ReadMap{pinOf(Dir::maps, "a"), 4, 0, 1, 0}), "start key");
}

TEST_F(WorkerControl, ALinkTakesOnlyWhatItsKindTakes) {
  auto dies = [&](auto change, int descriptors = 0) {
    wire::CreateLink wish = tcx();
    change(wish);
    EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, {}, descriptors), "malformed link");
  };
  wire::CreateLink noProgram = tcx();
  noProgram.program = pinOf(Dir::maps, "a");
  EXPECT_DEATH_BY_LINE(control(Op::createLink, noProgram), "not a program");
  dies([](auto& wish) { wish.to = pinOf(Dir::programs); });
  dies([](auto& wish) { wish.kind = wire::LinkKind::count; });
  dies([](auto& wish) { wish.kind = wire::LinkKind(~0u); });
  dies([](auto& wish) { wish.attachType = BPF_XDP; });
  dies([](auto& wish) { wish.relative = 3; });  // without BPF_F_ID the kernel would take it for a descriptor
  dies([](auto& wish) { wish.flags = BPF_F_REPLACE; });
  dies([](auto&) {}, 1);
  dies([](auto& wish) { wish.kind = wire::LinkKind::xdp, wish.attachType = BPF_XDP, wish.flags = 16; });   // XDP_FLAGS_REPLACE
  dies([](auto& wish) { wish.kind = wire::LinkKind::perfEvent, wish.attachType = BPF_PERF_EVENT; });       // no event
  dies([](auto& wish) { wish.kind = wire::LinkKind::cgroup, wish.attachType = BPF_CGROUP_INET_EGRESS; });  // no cgroup
  for (auto type : {BPF_SK_LOOKUP, BPF_FLOW_DISSECTOR, BPF_PERF_EVENT})                                    // other kinds of descriptors
    dies([=](auto& wish) { wish.kind = wire::LinkKind::cgroup, wish.attachType = type; }, 1);
  auto linked = [&](wire::LinkKind kind, uint32_t type, auto change, int descriptors = 0) {
    dies([=](auto& wish) { wish.kind = kind, wish.attachType = type, change(wish); }, descriptors);
  };
  auto asItIs = [](auto&) {};
  auto besideADescriptor = [](auto& wish) { wish.relative = 3; };
  auto withOtherFlags = [](auto& wish) { wish.flags = BPF_F_ALLOW_MULTI; };
  linked(wire::LinkKind::cgroup, BPF_CGROUP_DEVICE, besideADescriptor, 1);
  linked(wire::LinkKind::cgroup, BPF_CGROUP_DEVICE, withOtherFlags, 1);
  linked(wire::LinkKind::netns, BPF_SK_LOOKUP, asItIs);
  linked(wire::LinkKind::netns, BPF_CGROUP_DEVICE, asItIs, 1);
  linked(wire::LinkKind::netfilter, BPF_NETFILTER, [](auto& wish) { wish.flags = 2; });
  linked(wire::LinkKind::tracing, BPF_TRACE_ITER, asItIs);
  linked(wire::LinkKind::tracing, BPF_LSM_MAC, asItIs, 1);
  linked(wire::LinkKind::kprobeMulti, BPF_TRACE_KPROBE_MULTI, asItIs);  // no function
  linked(wire::LinkKind::sockets, BPF_XDP, asItIs);
  linked(wire::LinkKind::uprobeMulti, BPF_TRACE_UPROBE_MULTI, asItIs, 1);  // no place
  linked(wire::LinkKind::uprobeMulti, BPF_TRACE_KPROBE_MULTI, asItIs, 1);
  dies([](auto& wish) { wish.kind = wire::LinkKind::rawTracepoint, memset(wish.name, 'x', sizeof wish.name); });
  EXPECT_EQ(control(Op::createLink, tcx()), 0);
  wire::CreateLink egress = tcx();
  egress.attachType = BPF_TCX_EGRESS;  // the ceiling has ingress only
  EXPECT_EQ(control(Op::createLink, egress), -EPERM);
  EXPECT_EQ(bpf.count(BPF_LINK_CREATE), 1u);
}

TEST_F(WorkerControl, ALinkToAnObjectOfOursOpensNothingElse) {
  ceiling.attachTypes[0] = ~0ull;
  wire::CreateLink sockets = tcx();
  sockets.kind = wire::LinkKind::sockets, sockets.attachType = BPF_SK_MSG_VERDICT;
  for (Pin pin : {pinOf(Dir::loads, "p"), pinOf(Dir::links), pinOf(Dir::programs)}) {
    sockets.target = pin;
    EXPECT_DEATH_BY_LINE(control(Op::createLink, sockets), "link to what is no map");
  }
  sockets.target = pinOf(Dir::loads, "m");
  EXPECT_EQ(control(Op::createLink, sockets), 0);
  EXPECT_GT(bpf.last(BPF_LINK_CREATE).attr.link_create.target_fd, 2u);

  wire::CreateLink operations = tcx();
  operations.kind = wire::LinkKind::structOps, operations.attachType = BPF_STRUCT_OPS, operations.target = pinOf(Dir::loads, "p");
  EXPECT_DEATH_BY_LINE(control(Op::createLink, operations), "link to what is no map");
  operations.target = pinOf(Dir::loads, "m");
  EXPECT_EQ(control(Op::createLink, operations), 0);
  EXPECT_EQ(bpf.last(BPF_LINK_CREATE).attr.link_create.target_fd, 0u);

  wire::CreateLink iterator = tcx();
  iterator.kind = wire::LinkKind::iterator, iterator.attachType = BPF_TRACE_ITER;
  EXPECT_EQ(control(Op::createLink, iterator), 0);
  EXPECT_EQ(bpf.last(BPF_LINK_CREATE).attr.link_create.iter_info_len, 0u);
  iterator.target = pinOf(Dir::loads, "m");
  EXPECT_EQ(control(Op::createLink, iterator), 0);
  EXPECT_EQ(bpf.last(BPF_LINK_CREATE).attr.link_create.iter_info_len, sizeof(bpf_iter_link_info));
}

TEST_F(WorkerControl, PlacesOfABinaryAreCountedByWhatCame) {
  ceiling.attachTypes[0] = ~0ull;
  wire::CreateLink wish = tcx();
  wish.kind = wire::LinkKind::uprobeMulti, wish.attachType = BPF_TRACE_UPROBE_MULTI, wish.flags = BPF_F_UPROBE_MULTI_RETURN;
  EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, std::vector<uint8_t>(47), 1), "malformed link");
  EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, std::vector<uint8_t>(48)), "malformed link") << "no binary";
  EXPECT_EQ(control(Op::createLink, wish, std::vector<uint8_t>(48), 1), 0);
  auto& asked = bpf.last(BPF_LINK_CREATE).attr.link_create.uprobe_multi;
  EXPECT_EQ(asked.cnt, 2u);
  EXPECT_EQ(asked.ref_ctr_offsets - asked.offsets, 16u);
  EXPECT_EQ(asked.cookies - asked.ref_ctr_offsets, 16u);
  EXPECT_EQ(bpf.last(BPF_LINK_CREATE).attr.link_create.target_fd, 0u);
}

TEST_F(WorkerControl, FunctionsComeByTheirNamesEachWithItsEnd) {
  ceiling.attachTypes[0] = ~0ull;
  wire::CreateLink wish = tcx();
  wish.kind = wire::LinkKind::kprobeMulti, wish.attachType = BPF_TRACE_KPROBE_MULTI, wish.flags = BPF_F_KPROBE_MULTI_RETURN;
  EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, {'a', 0, 'b'}), "malformed link");
  EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, std::vector<uint8_t>(4097)), "malformed link");
  EXPECT_EQ(control(Op::createLink, wish, {'a', 0, 'b', 'c', 0}), 0);
  auto& asked = bpf.last(BPF_LINK_CREATE).attr.link_create.kprobe_multi;
  EXPECT_EQ(asked.cnt, 2u);
  EXPECT_EQ(asked.flags, uint32_t(BPF_F_KPROBE_MULTI_RETURN));
  wish.kind = wire::LinkKind::tcx, wish.attachType = BPF_TCX_INGRESS, wish.flags = 0;
  EXPECT_DEATH_BY_LINE(control(Op::createLink, wish, {'a', 0}), "malformed link");
}

TEST_F(WorkerControl, ALinkThatCanNotBePinnedIsNotKept) {
  bpf.failing["pin tcx-ingress/link_1_2_3"] = -EEXIST;
  EXPECT_EQ(control(Op::createLink, tcx()), -EEXIST);
}

TEST_F(WorkerControl, ALinkIsOpenedBeforeItsPinGoes) {
  EXPECT_EQ(control(Op::remove, pinOf(Dir::links)), 1);
  EXPECT_EQ(bpf.count(BPF_OBJ_GET), 1u);
  bpf.failing["unlink links/1"] = -ENOENT;
  EXPECT_EQ(control(Op::remove, pinOf(Dir::links)), 0);
}

TEST_F(WorkerControl, ALongListComesInPiecesThatFitAMessage) {
  for (int i = 0; i < 10000; ++i) bpf.names.push_back("name_" + std::to_string(i));
  Request request = requestOf(Op::list, wire::List{pinOf(Dir::links), 0, 0});
  Answer answer = perform(context, request, Control);
  EXPECT_EQ(answer.result, 10000);
  EXPECT_LE(answer.tail.size() + sizeof(wire::Reply), wire::MAX_MESSAGE);
  request = requestOf(Op::list, wire::List{pinOf(Dir::links), ~0u, 0});
  EXPECT_EQ(perform(context, request, Control).tail.size(), 0u);
}

}  // namespace
}  // namespace bpfman
