// What the worker says to rtnetlink: fixed messages, never blindly, within the ceiling. Needs no root; tests/tc_test.py has the kernel.
#include "worker/recording-bpf.h"

#include <linux/if_link.h>

namespace bpfman {
namespace {

using wire::Dir;
using wire::FilterChange;
using wire::Op;

class WorkerNetlink : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  void SetUp() override { ceiling.programTypes |= 1ull << BPF_PROG_TYPE_SCHED_CLS; }

  template <typename Body>
  int64_t control(Op op, const Body& body, int descriptors = 0) {
    Request request = requestOf(op, body);
    for (int i = 0; i < descriptors; ++i) request.descriptors[request.descriptorCount++] = Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    return perform(context, request, Control).result;
  }
  uint32_t word(size_t at) {
    uint32_t value = 0;
    memcpy(&value, bpf.routed.back().data() + 4 * at, sizeof value);
    return value;
  }
  wire::SetXdp xdp() { return {pinOf(Dir::loads, "p"), pinOf(Dir::programs), 1, 0, 7, XDP_FLAGS_SKB_MODE}; }
  wire::SetFilter filter(FilterChange change) { return {pinOf(Dir::loads, "p"), change, 1, 7, 50, 3, 0}; }
};

TEST_F(WorkerNetlink, XdpIsAttachedOnlyWhereNothingIsOrWhereTheExpectedIs) {
  EXPECT_EQ(control(Op::setXdp, xdp()), 0);
  ASSERT_EQ(bpf.routed.back().size(), 60u);
  EXPECT_EQ(word(0), 60u);
  EXPECT_EQ(word(5), 7u);  // the interface
  EXPECT_EQ(word(12), uint32_t(XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE));
  EXPECT_EQ(int(word(14)), -1);
  auto wish = xdp();
  wish.hasExpected = 1;
  EXPECT_EQ(control(Op::setXdp, wish), 0);
  EXPECT_EQ(word(12), uint32_t(XDP_FLAGS_REPLACE | XDP_FLAGS_SKB_MODE));
  EXPECT_GE(int(word(14)), 0);
  EXPECT_EQ(control(Op::setXdp, xdp(), 1), 0);  // the expected one is a descriptor
  EXPECT_EQ(word(12), uint32_t(XDP_FLAGS_REPLACE | XDP_FLAGS_SKB_MODE));
  wish.hasProgram = 0;
  EXPECT_EQ(control(Op::setXdp, wish), 0);  // detaches
  EXPECT_EQ(int(word(10)), -1);
}

TEST_F(WorkerNetlink, AMalformedXdpAttachmentEndsTheProcess) {
  auto dies = [&](auto change, int descriptors, const char* line) {
    auto wish = xdp();
    change(wish);
    EXPECT_DEATH_BY_LINE(control(Op::setXdp, wish, descriptors), line);
  };
  dies([](auto& wish) { wish.modes = XDP_FLAGS_REPLACE; }, 0, "malformed");
  dies([](auto& wish) { wish.modes = 1 << 5; }, 0, "malformed");
  dies([](auto& wish) { wish.hasProgram = 0; }, 0, "malformed");  // detaches whatever is there
  dies([](auto& wish) { wish.hasExpected = 1; }, 1, "malformed");
  dies([](auto& wish) { wish.program = pinOf(Dir::links); }, 0, "not a program");
  dies([](auto& wish) { wish.expected = pinOf(Dir::maps, "a"), wish.hasExpected = 1; }, 0, "not a program");
  dies([](auto& wish) { wish.program = pinOf(Dir::loads, "m"); }, 0, "not a program");
}

TEST_F(WorkerNetlink, AFilterIsMadeAndRemovedByItsHandle) {
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::create)), 0);
  ASSERT_EQ(bpf.routed.size(), 2u);  // the qdisc first
  EXPECT_EQ(bpf.routed[0].size(), 48u);
  EXPECT_EQ(word(1), 44u | (1 | 4 | 0x200 | 0x400) << 16);  // RTM_NEWTFILTER, only a new one
  EXPECT_EQ(word(5), 7u);
  EXPECT_EQ(word(6), 3u);
  EXPECT_EQ(word(7), 0xfffffff3u);
  EXPECT_EQ(word(8), 50u << 16 | 0x0300);
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::remove)), 0);
  EXPECT_EQ(word(1), 45u | (1 | 4) << 16);
  EXPECT_EQ(int(word(14)), -1);
}

TEST_F(WorkerNetlink, AFilterIsReplacedOnlyWhereItIsByItsHandle) {
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::replace)), 0);
  ASSERT_EQ(bpf.routed.size(), 1u);         // no qdisc is made
  EXPECT_EQ(word(1), 44u | (1 | 4) << 16);  // RTM_NEWTFILTER without NLM_F_CREATE
  EXPECT_EQ(word(6), 3u);
  EXPECT_EQ(word(7), 0xfffffff3u);
  EXPECT_EQ(word(8), 50u << 16 | 0x0300);
  EXPECT_GE(int(word(14)), 0);
  bpf.routeAnswer = -ENOENT;
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::replace)), -ENOENT);
  EXPECT_EQ(bpf.routed.size(), 2u);
}

TEST_F(WorkerNetlink, AQdiscOfOthersStaysAndAKernelErrorIsAnAnswer) {
  bpf.routeAnswer = -EOPNOTSUPP;
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::create)), -EOPNOTSUPP);
  EXPECT_EQ(bpf.routed.size(), 1u);  // no filter without a qdisc
  bpf.routeAnswer = -EEXIST;
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::create)), -EEXIST);
  EXPECT_EQ(bpf.routed.size(), 3u);
}

TEST_F(WorkerNetlink, AMalformedFilterEndsTheProcess) {
  auto dies = [&](auto change, const char* line) {
    auto wish = filter(FilterChange::create);
    change(wish);
    EXPECT_DEATH_BY_LINE(control(Op::setFilter, wish), line);
  };
  dies([](auto& wish) { wish.change = FilterChange::count; }, "malformed");
  dies([](auto& wish) { wish.egress = 2; }, "malformed");
  dies([](auto& wish) { wish.priority = 0; }, "malformed");
  dies([](auto& wish) { wish.priority = 65536; }, "malformed");
  dies([](auto& wish) { wish.handle = 0; }, "malformed");  // all filters of that priority
  dies([](auto& wish) { wish.program = pinOf(Dir::maps, "a"); }, "not a program");
}

TEST_F(WorkerNetlink, TheCeilingBoundsBoth) {
  ceiling = {};
  EXPECT_EQ(control(Op::setXdp, xdp()), -EPERM);
  EXPECT_EQ(control(Op::setFilter, filter(FilterChange::create)), -EPERM);
  EXPECT_TRUE(bpf.routed.empty());
}

}  // namespace
}  // namespace bpfman
