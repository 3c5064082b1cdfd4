// The TC dispatcher of the freplace engine on the running kernel, by BPF_PROG_TEST_RUN, without members: each position returns the
// dispatcher's own verdict then. Members need a kernel with freplace: tests/tc_test.py in tests/vm.
#include <linux/pkt_cls.h>
#include <memory>
#include <unistd.h>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "dispatchers/objects.h"
#include "dispatchers/tailcall.h"
#include "dispatchers/tc-freplace.h"
#include "tests/cannot-run.h"

namespace bpfman {

namespace {

constexpr uint32_t bit(int verdict) { return 1u << (verdict + 1); }

int verdictOf(const std::vector<uint32_t>& masks) {
  auto bytes = tcFreplaceDispatcher();
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr), bpf_object__close);
  if (!object) throw std::runtime_error("no object");
  tc_freplace_config config{};
  for (uint32_t mask : masks) config.proceed[config.count++] = mask;
  bpf_map* rodata = bpf_object__find_map_by_name(object.get(), ".rodata");
  if (bpf_map__set_initial_value(rodata, &config, sizeof config) != 0 || bpf_object__load(object.get()) != 0)
    throw std::runtime_error("the dispatcher can't be loaded");
  unsigned char packet[64] = {};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet);
  if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object.get(), "tc_dispatcher")), &options) != 0)
    throw std::runtime_error("the dispatcher can't be run");
  return static_cast<int>(options.retval);
}

class TcFreplace : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) CANNOT_RUN("needs root, for bpf(2)");
  }
};

TEST_F(TcFreplace, AChainWithoutMembersHasNoOpinion) { EXPECT_EQ(verdictOf({}), TC_ACT_UNSPEC); }

TEST_F(TcFreplace, BehindTheLastPositionIsOk) {
  for (size_t count = 1; count <= TC_FREPLACE_POSITIONS; ++count)
    EXPECT_EQ(verdictOf(std::vector<uint32_t>(count, bit(TC_DISPATCHER_RETURN))), TC_ACT_OK) << count;
}

TEST_F(TcFreplace, AVerdictOutsideOfAPositionsMaskEndsTheChain) {
  for (size_t at = 0; at < TC_FREPLACE_POSITIONS; ++at) {
    std::vector<uint32_t> masks(TC_FREPLACE_POSITIONS, ~0u);
    masks[at] = ~bit(TC_DISPATCHER_RETURN);
    EXPECT_EQ(verdictOf(masks), TC_DISPATCHER_RETURN) << at;
  }
}

}  // namespace

}  // namespace bpfman
