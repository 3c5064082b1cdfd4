// The dispatcher on the running kernel, by BPF_PROG_TEST_RUN: needs root, no interface.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <linux/membarrier.h>
#include <memory>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "dispatchers/objects.h"
#include "dispatchers/xdp-tailcall.h"

namespace bpfman {

namespace {

struct Closer {
  int fd = -1;
  explicit Closer(int fd) : fd(fd) {}
  Closer(Closer&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~Closer() {
    if (fd >= 0) close(fd);
  }
};

// A member: r0 = verdict; exit. With a counter map: also leaves its number behind in it, as the last that ran (trace = trace * 16 +
// number).
Closer member(uint32_t verdict, int traceMap = -1, uint32_t number = 0) {
  std::vector<bpf_insn> code;
  auto add = [&](uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm) { code.push_back({op, dst, src, off, imm}); };
  if (traceMap >= 0) {
    add(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, traceMap);
    add(0, 0, 0, 0, 0);
    add(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0);
    add(BPF_ALU64 | BPF_LSH | BPF_K, 2, 0, 0, 4);
    add(BPF_ALU64 | BPF_OR | BPF_K, 2, 0, 0, static_cast<int32_t>(number));
    add(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 0, 0);
  }
  add(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, static_cast<int32_t>(verdict));
  add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_XDP);
  return Closer(bpf_prog_load(BPF_PROG_TYPE_XDP, "member", "GPL", code.data(), code.size(), &options));
}

class XdpTailcall : public testing::Test {
 protected:
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object{nullptr, bpf_object__close};
  int dispatcher = -1, slots = -1, active = -1, banks = -1;

  void SetUp() override {
    if (geteuid() != 0) {
      if (getenv("BPFMAN_MUST_RUN")) FAIL() << "needs root";
      GTEST_SKIP() << "needs root, for bpf(2)";
    }
    auto bytes = xdpTailcallDispatcher();
    object.reset(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr));
    ASSERT_TRUE(object);
    ASSERT_EQ(bpf_object__load(object.get()), 0);
    dispatcher = bpf_program__fd(bpf_object__find_program_by_name(object.get(), "xdp_dispatcher"));
    slots = bpf_object__find_map_fd_by_name(object.get(), "slots");
    active = bpf_object__find_map_fd_by_name(object.get(), "active");
    banks = bpf_object__find_map_fd_by_name(object.get(), "banks");
    ASSERT_GE(std::min({dispatcher, slots, active, banks}), 0);
  }

  void setSlot(uint32_t bank, uint32_t position, const Closer& program) {
    uint32_t slot = bank * XDP_POSITIONS + position;
    ASSERT_EQ(bpf_map_update_elem(slots, &slot, &program.fd, BPF_ANY), 0);
  }
  void setBank(uint32_t bank, const xdp_bank& chain) { ASSERT_EQ(bpf_map_update_elem(banks, &bank, &chain, BPF_ANY), 0); }
  void use(uint32_t bank) {
    uint32_t key = 0;
    ASSERT_EQ(bpf_map_update_elem(active, &key, &bank, BPF_ANY), 0);
  }
  void waitForGracePeriod() { ASSERT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0); }

  uint32_t run(uint32_t repeat = 1, uint32_t* nanoseconds = nullptr) {
    char packet[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet, .repeat = static_cast<int>(repeat));
    EXPECT_EQ(bpf_prog_test_run_opts(dispatcher, &options), 0);
    if (nanoseconds) *nanoseconds = options.duration;
    return options.retval;
  }
};

TEST_F(XdpTailcall, PassesWhenTheChainIsEmpty) {
  EXPECT_EQ(run(), static_cast<uint32_t>(XDP_PASS));
  use(1);
  EXPECT_EQ(run(), static_cast<uint32_t>(XDP_PASS));
}

// All lengths, in both banks: the chain ends at the first member whose verdict is not in its mask, and the members before it all ran, in
// order.
TEST_F(XdpTailcall, EndsAtTheFirstMemberWhoseVerdictIsNotInItsMask) {
  LIBBPF_OPTS(bpf_map_create_opts, options);
  Closer trace(bpf_map_create(BPF_MAP_TYPE_ARRAY, "trace", 4, 8, 1, &options));
  for (uint32_t bank = 0; bank < XDP_BANKS; ++bank) {
    use(bank);
    for (uint32_t count = 0; count <= XDP_POSITIONS; ++count) {
      std::vector<Closer> members;
      for (uint32_t i = 0; i < count; ++i) {
        members.push_back(member(i % 5, trace.fd, i + 1));
        setSlot(bank, i, members.back());
      }
      for (uint32_t stop = 0; stop <= count; ++stop) {  // stop == count: nobody stops it
        xdp_bank chain{};
        chain.count = count;
        for (uint32_t i = 0; i < count; ++i) chain.proceed[i] = i == stop ? ~(1u << i % 5) : 1u << i % 5;
        setBank(bank, chain);
        uint32_t key = 0;
        uint64_t zero = 0, ran = 0, expected = 0;
        bpf_map_update_elem(trace.fd, &key, &zero, BPF_ANY);
        EXPECT_EQ(run(), stop < count ? stop % 5 : static_cast<uint32_t>(XDP_PASS)) << count << " " << stop;
        bpf_map_lookup_elem(trace.fd, &key, &ran);
        for (uint32_t i = 0; i < std::min(stop + 1, count); ++i) expected = expected << 4 | (i + 1);
        EXPECT_EQ(ran, expected) << count << " " << stop;
      }
    }
  }
}

TEST_F(XdpTailcall, TreatsEachVerdictAndEachMaskBitAlike) {
  for (uint32_t verdict = 0; verdict < 32; ++verdict) {
    Closer first = member(verdict), second = member(XDP_TX);
    setSlot(0, 0, first);
    setSlot(0, 1, second);
    for (uint32_t bit = 0; bit < 32; ++bit) {
      setBank(0, {2, {1u << bit, 0}});
      EXPECT_EQ(run(), bit == verdict ? static_cast<uint32_t>(XDP_TX) : verdict);
    }
  }
}

TEST_F(XdpTailcall, ReturnsAtOnceWithAVerdictThatNoMaskCanName) {
  for (uint32_t verdict : {32u, 33u, 1000u, ~0u}) {
    Closer first = member(verdict);
    setSlot(0, 0, first);
    setBank(0, {2, {~0u, ~0u}});
    EXPECT_EQ(run(), verdict);
  }
}

// libxdp's word for "the dispatcher itself": goes on if the mask has it, which it has by default.
TEST_F(XdpTailcall, TakesAnEmptySlotForDispatcherReturn) {
  setBank(0, {1, {1u << XDP_DISPATCHER_RETURN}});
  EXPECT_EQ(run(), static_cast<uint32_t>(XDP_PASS));
  setBank(0, {1, {1u << XDP_PASS}});
  EXPECT_EQ(run(), static_cast<uint32_t>(XDP_DISPATCHER_RETURN));
}

TEST_F(XdpTailcall, CountsNoMoreThanItsPositions) {
  setBank(0, {1000, {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u}});
  EXPECT_EQ(run(), static_cast<uint32_t>(XDP_PASS));
}

// Two chains that never give a mixed verdict: in bank b all members but the last go on, and the last one says which chain it was. The old
// bank is torn down after each switch, as the engine does.
TEST_F(XdpTailcall, ShowsNoPacketAMixtureWhileBanksAreSwitched) {
  constexpr uint32_t lengths[2] = {3, 7}, last[2] = {XDP_TX, XDP_DROP};
  Closer goesOn = member(XDP_PASS), ends[2] = {member(last[0]), member(last[1])};
  auto fill = [&](uint32_t bank) {
    xdp_bank chain{};
    chain.count = lengths[bank];
    for (uint32_t i = 0; i < chain.count; ++i) {
      setSlot(bank, i, i + 1 < chain.count ? goesOn : ends[bank]);
      chain.proceed[i] = 1u << XDP_PASS;
    }
    setBank(bank, chain);
  };
  fill(0);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> seen[2] = {}, wrong = 0;
  std::thread packets([&]() {
    while (!stop) {
      uint32_t verdict = run();
      if (verdict == last[0])
        ++seen[0];
      else if (verdict == last[1])
        ++seen[1];
      else
        ++wrong;
    }
  });
  auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  int switches = 0;
  for (uint32_t next = 1; std::chrono::steady_clock::now() < enough; next ^= 1, ++switches) {
    fill(next);
    use(next);
    waitForGracePeriod();
    for (uint32_t i = 0, slot = (next ^ 1) * XDP_POSITIONS; i < XDP_POSITIONS; ++i, ++slot) bpf_map_delete_elem(slots, &slot);
    setBank(next ^ 1, {});
  }
  stop = true;
  packets.join();
  printf("%d switches, %lu and %lu packets\n", switches, seen[0].load(), seen[1].load());
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(seen[0], 0u);
  EXPECT_GT(seen[1], 0u);
}

TEST_F(XdpTailcall, CostsLittleForEachMember) {
  std::vector<Closer> members;
  for (uint32_t count = 0; count <= XDP_POSITIONS; ++count) {
    if (count) {
      members.push_back(member(XDP_PASS));
      setSlot(0, count - 1, members.back());
    }
    xdp_bank chain{};
    chain.count = count;
    for (uint32_t& mask : chain.proceed) mask = 1u << XDP_PASS;
    setBank(0, chain);
    uint32_t best = ~0u;
    for (int i = 0; i < 7; ++i) {
      uint32_t now;
      run(200000, &now);
      best = std::min(best, now);
    }
    printf("%u members: %u ns\n", count, best);
    EXPECT_LT(best, 1000u);
  }
}

}  // namespace
}  // namespace bpfman
