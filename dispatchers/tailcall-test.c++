// The dispatchers on the running kernel, by BPF_PROG_TEST_RUN: needs root, no interface.
#include <algorithm>
#include <atomic>
#include <ctime>
#include <cstdlib>
#include <cstring>
#include <linux/membarrier.h>
#include <linux/pkt_cls.h>
#include <memory>
#include <numeric>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "dispatchers/objects.h"
#include "dispatchers/tailcall.h"
#include "tests/cannot-run.h"

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

struct HookCase {
  const char *name, *program;
  std::span<const unsigned char> (*object)();
  bpf_prog_type type;
  bpf_attach_type attachType;
  int lowest, dispatcherReturn, end, empty;  // verdicts
  uint32_t counted;                          // of them, from the lowest on, are counted one by one
  int passed, ended, other;                  // three that differ
};

void PrintTo(const HookCase& hook, std::ostream* out) { *out << hook.name; }

constexpr HookCase HOOKS[] = {
    {"xdp", "xdp_dispatcher", xdpTailcallDispatcher, BPF_PROG_TYPE_XDP, BPF_XDP, 0, XDP_DISPATCHER_RETURN, XDP_PASS, XDP_PASS,
     XDP_COUNTED_VERDICTS, XDP_PASS, XDP_TX, XDP_DROP},
    {"tc", "tc_dispatcher", tcTailcallDispatcher, BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type(0), TC_ACT_UNSPEC, TC_DISPATCHER_RETURN,
     TC_ACT_OK, TC_ACT_UNSPEC, TC_COUNTED_VERDICTS, TC_ACT_PIPE, TC_ACT_STOLEN, TC_ACT_SHOT}};

class Tailcall : public testing::TestWithParam<HookCase> {
 protected:
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object{nullptr, bpf_object__close};
  int dispatcher = -1, slots = -1, active = -1, banks = -1, counters = -1;

  const HookCase& hook = GetParam();

  // A member: r0 = verdict; exit. With a trace map: also leaves its number behind in it (trace = trace * 31 + number).
  Closer member(int verdict, int traceMap = -1, uint32_t number = 0) {
    std::vector<bpf_insn> code;
    auto add = [&](uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm) { code.push_back({op, dst, src, off, imm}); };
    if (traceMap >= 0) {
      add(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, traceMap);
      add(0, 0, 0, 0, 0);
      add(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0);
      add(BPF_ALU64 | BPF_MUL | BPF_K, 2, 0, 0, 31);
      add(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, static_cast<int32_t>(number));
      add(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 0, 0);
    }
    add(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, verdict);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = hook.attachType);
    return Closer(bpf_prog_load(hook.type, "member", "GPL", code.data(), code.size(), &options));
  }
  uint32_t bit(int verdict) const { return 1u << (verdict - hook.lowest); }

  void SetUp() override {
    if (geteuid() != 0) CANNOT_RUN("needs root, for bpf(2)");
    auto bytes = hook.object();
    object.reset(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr));
    ASSERT_TRUE(object);
    ASSERT_EQ(bpf_object__load(object.get()), 0);
    dispatcher = bpf_program__fd(bpf_object__find_program_by_name(object.get(), hook.program));
    slots = bpf_object__find_map_fd_by_name(object.get(), "slots");
    active = bpf_object__find_map_fd_by_name(object.get(), "active");
    banks = bpf_object__find_map_fd_by_name(object.get(), "banks");
    counters = bpf_object__find_map_fd_by_name(object.get(), "counters");
    ASSERT_GE(std::min({dispatcher, slots, active, banks, counters}), 0);
  }

  void setSlot(uint32_t bank, uint32_t position, const Closer& program) {
    uint32_t slot = bank * CHAIN_POSITIONS + position;
    ASSERT_EQ(bpf_map_update_elem(slots, &slot, &program.fd, BPF_ANY), 0);
  }
  void setBank(uint32_t bank, const chain_bank& chain) { ASSERT_EQ(bpf_map_update_elem(banks, &bank, &chain, BPF_ANY), 0); }
  void use(uint32_t bank) {
    uint32_t key = 0;
    ASSERT_EQ(bpf_map_update_elem(active, &key, &bank, BPF_ANY), 0);
  }
  static chain_bank chainOf(uint32_t count, std::initializer_list<uint32_t> masks) {
    chain_bank chain{};
    chain.count = count;
    std::copy(masks.begin(), masks.end(), chain.proceed);
    return chain;
  }
  static chain_bank countingChain(const std::vector<uint32_t>& proceed, uint32_t flags = 0) {
    chain_bank chain{};
    chain.count = proceed.size(), chain.flags = flags;
    for (uint32_t i = 0; i < chain.count; ++i) chain.proceed[i] = proceed[i], chain.counter[i] = i;
    return chain;
  }
  // The words of a counter, all CPUs together.
  std::vector<uint64_t> counter(uint32_t number) {
    std::vector<uint64_t> words, perCpu(libbpf_num_possible_cpus());
    for (uint32_t word = 0; word < COUNTER_WORDS(hook.counted); ++word) {
      uint32_t key = number * COUNTER_WORDS(hook.counted) + word;
      EXPECT_EQ(bpf_map_lookup_elem(counters, &key, perCpu.data()), 0);
      words.push_back(std::accumulate(perCpu.begin(), perCpu.end(), uint64_t(0)));
    }
    return words;
  }
  std::vector<uint64_t> words(std::initializer_list<std::pair<uint32_t, uint64_t>> set = {}) {
    std::vector<uint64_t> all(COUNTER_WORDS(hook.counted));
    for (auto [word, value] : set) all[word] = value;
    return all;
  }
  void waitForGracePeriod() { ASSERT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0); }

  int run(uint32_t repeat = 1, uint32_t* nanoseconds = nullptr) {
    char packet[64] = {};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet, .repeat = static_cast<int>(repeat));
    EXPECT_EQ(bpf_prog_test_run_opts(dispatcher, &options), 0);
    if (nanoseconds) *nanoseconds = options.duration;
    return options.retval;
  }
};

INSTANTIATE_TEST_SUITE_P(Hooks, Tailcall, testing::ValuesIn(HOOKS), [](auto& info) { return std::string(info.param.name); });

TEST_P(Tailcall, IsAsIfItWereNotThereWhenTheChainIsEmpty) {
  EXPECT_EQ(run(), hook.empty);
  use(1);
  EXPECT_EQ(run(), hook.empty);
}

// All lengths, in both banks: the chain ends at the first member whose verdict is not in its mask, and the members before it all ran, in
// order.
TEST_P(Tailcall, EndsAtTheFirstMemberWhoseVerdictIsNotInItsMask) {
  LIBBPF_OPTS(bpf_map_create_opts, options);
  Closer trace(bpf_map_create(BPF_MAP_TYPE_ARRAY, "trace", 4, 8, 1, &options));
  auto verdict = [&](uint32_t i) { return static_cast<int>(i % 5) + hook.lowest; };
  for (uint32_t bank = 0; bank < CHAIN_BANKS; ++bank) {
    use(bank);
    for (uint32_t count = 1; count <= CHAIN_POSITIONS; ++count) {
      std::vector<Closer> members;
      for (uint32_t i = 0; i < count; ++i) {
        members.push_back(member(verdict(i), trace.fd, i + 1));
        setSlot(bank, i, members.back());
      }
      for (uint32_t stop = 0; stop <= count; ++stop) {  // stop == count: nobody stops it
        chain_bank chain{};
        chain.count = count;
        for (uint32_t i = 0; i < count; ++i) chain.proceed[i] = i == stop ? ~bit(verdict(i)) : bit(verdict(i));
        setBank(bank, chain);
        uint32_t key = 0;
        uint64_t zero = 0, ran = 0, expected = 0;
        bpf_map_update_elem(trace.fd, &key, &zero, BPF_ANY);
        EXPECT_EQ(run(), stop < count ? verdict(stop) : hook.end) << count << " " << stop;
        bpf_map_lookup_elem(trace.fd, &key, &ran);
        for (uint32_t i = 0; i < std::min(stop + 1, count); ++i) expected = expected * 31 + i + 1;
        EXPECT_EQ(ran, expected) << count << " " << stop;
      }
    }
  }
}

TEST_P(Tailcall, TreatsEachVerdictAndEachMaskBitAlike) {
  for (int verdict = hook.lowest; verdict < hook.lowest + 32; ++verdict) {
    Closer first = member(verdict), second = member(hook.ended);
    setSlot(0, 0, first);
    setSlot(0, 1, second);
    for (uint32_t bit = 0; bit < 32; ++bit) {
      setBank(0, chainOf(2, {1u << bit, 0}));
      EXPECT_EQ(run(), static_cast<int>(bit) + hook.lowest == verdict ? hook.ended : verdict);
    }
  }
}

TEST_P(Tailcall, ReturnsAtOnceWithAVerdictThatNoMaskCanName) {
  for (int verdict : {hook.lowest - 1, hook.lowest + 32, 1000, INT32_MAX, INT32_MIN}) {
    Closer first = member(verdict);
    setSlot(0, 0, first);
    setBank(0, chainOf(2, {~0u, ~0u}));
    EXPECT_EQ(run(), verdict);
  }
}

// The word for "the dispatcher itself": goes on if the mask has it, which it has by default.
TEST_P(Tailcall, TakesAnEmptySlotForDispatcherReturn) {
  setBank(0, chainOf(1, {bit(hook.dispatcherReturn)}));
  EXPECT_EQ(run(), hook.end);
  setBank(0, chainOf(1, {bit(hook.passed)}));
  EXPECT_EQ(run(), hook.dispatcherReturn);
}

TEST_P(Tailcall, CountsNoMoreThanItsPositions) {
  chain_bank chain{};
  chain.count = 1000;
  for (uint32_t& mask : chain.proceed) mask = ~0u;
  setBank(0, chain);
  EXPECT_EQ(run(), hook.end);
}

// A change that nobody confirmed: no word of `active` changes, no process has to live.
TEST_P(Tailcall, TakesTheOtherBankWhenTheTimeOfThisOneIsOver) {
  auto now = [] {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000ull + time.tv_nsec;
  };
  Closer before = member(hook.ended), after = member(hook.other);
  setSlot(0, 0, before);
  setBank(0, chainOf(1, {0}));
  setSlot(1, 0, after);
  chain_bank chain = chainOf(1, {0});
  chain.timed = 1;
  chain.until = now() + 300'000'000;
  setBank(1, chain);
  use(1);
  EXPECT_EQ(run(), hook.other);
  usleep(350'000);
  EXPECT_EQ(run(), hook.ended);
  setBank(0, chain_bank{});  // the first change of a hook: nothing was there
  EXPECT_EQ(run(), hook.empty);
  chain.timed = 0;  // confirmed
  setBank(1, chain);
  EXPECT_EQ(run(), hook.other);
}

// Two chains that never give a mixed verdict: in bank b all members but the last go on, and the last one says which chain it was. The old
// bank is torn down after each switch, as the engine does.
TEST_P(Tailcall, ShowsNoPacketAMixtureWhileBanksAreSwitched) {
  constexpr uint32_t lengths[2] = {3, 7};
  const int last[2] = {hook.ended, hook.other};
  Closer goesOn = member(hook.passed), ends[2] = {member(last[0]), member(last[1])};
  auto fill = [&](uint32_t bank) {
    chain_bank chain{};
    chain.count = lengths[bank];
    for (uint32_t i = 0; i < chain.count; ++i) {
      setSlot(bank, i, i + 1 < chain.count ? goesOn : ends[bank]);
      chain.proceed[i] = bit(hook.passed);
    }
    setBank(bank, chain);
  };
  fill(0);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> seen[2] = {}, wrong = 0;
  std::thread packets([&]() {
    while (!stop) {
      int verdict = run();
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
    for (uint32_t i = 0, slot = (next ^ 1) * CHAIN_POSITIONS; i < CHAIN_POSITIONS; ++i, ++slot) bpf_map_delete_elem(slots, &slot);
    setBank(next ^ 1, chain_bank{});
  }
  stop = true;
  packets.join();
  printf("%d switches, %lu and %lu packets\n", switches, seen[0].load(), seen[1].load());
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(seen[0], 0u);
  EXPECT_GT(seen[1], 0u);
}

// By a member in the middle, for each verdict that there is and some that there are not; and with its bit in the mask.
TEST_P(Tailcall, CountsWhatBecameOfEachPacketAtEachMember) {
  Closer first = member(hook.passed), last = member(hook.other);
  setSlot(0, 0, first);
  setSlot(0, 2, last);
  uint64_t sent = 0, reached = 0;
  std::vector<uint64_t> middle = words();
  for (int verdict = hook.lowest - 2; verdict < hook.lowest + 35; ++verdict) {
    Closer second = member(verdict);
    setSlot(0, 1, second);
    uint32_t index = verdict - hook.lowest;
    for (bool goesOn : {false, true}) {
      if (goesOn && index > 31) continue;
      chain_bank chain = countingChain({bit(hook.passed), goesOn ? 1u << index : 0, 0}, CHAIN_COUNTS);
      chain.counter[0] = CHAIN_COUNTERS - 1, chain.counter[1] = 7, chain.counter[2] = 3;
      setBank(0, chain);
      EXPECT_EQ(run(5), goesOn ? hook.other : verdict);
      sent += 5;
      if (goesOn) reached += 5;
      middle[goesOn ? COUNTER_PASSED_ON : COUNTER_FINAL + std::min(index, hook.counted)] += 5;
      EXPECT_EQ(counter(7), middle) << verdict;
    }
  }
  EXPECT_EQ(counter(CHAIN_COUNTERS - 1), words({{COUNTER_PASSED_ON, sent}}));
  EXPECT_EQ(counter(3), words({{COUNTER_FINAL + hook.other - hook.lowest, reached}}));
  EXPECT_EQ(counter(0), words());
}

TEST_P(Tailcall, CountsAndTimesOnlyWhatIsSwitchedOn) {
  Closer goesOn = member(hook.passed);
  for (uint32_t bank = 0; bank < CHAIN_BANKS; ++bank) {
    use(bank);
    for (uint32_t i = 0; i < CHAIN_POSITIONS; ++i) setSlot(bank, i, goesOn);
    auto chain = countingChain(std::vector(CHAIN_POSITIONS, bit(hook.passed)));
    for (uint8_t& number : chain.counter) number += bank * CHAIN_POSITIONS;
    for (uint32_t flags : {0u, CHAIN_COUNTED, CHAIN_TIMES, CHAIN_COUNTS, CHAIN_COUNTS | CHAIN_TIMES}) {
      chain.flags = flags;
      setBank(bank, chain);
      EXPECT_EQ(run(10), hook.end);
    }
    for (uint8_t number : chain.counter) {
      auto found = counter(number);
      EXPECT_GT(found[COUNTER_NANOSECONDS], 0u);
      EXPECT_EQ(found, words({{COUNTER_PASSED_ON, 20}, {COUNTER_TIMED_RUNS, 10}, {COUNTER_NANOSECONDS, found[COUNTER_NANOSECONDS]}}));
    }
  }
}

// No such counter: the packet's way is the same.
TEST_P(Tailcall, CountsNowhereBehindItsCounters) {
  Closer goesOn = member(hook.passed), ends = member(hook.ended);
  setSlot(0, 0, goesOn);
  setSlot(0, 1, ends);
  auto chain = countingChain({bit(hook.passed), 0}, CHAIN_COUNTS | CHAIN_TIMES);
  chain.counter[0] = CHAIN_COUNTERS, chain.counter[1] = 255;
  setBank(0, chain);
  EXPECT_EQ(run(), hook.ended);
  for (uint32_t number = 0; number < CHAIN_COUNTERS; ++number) EXPECT_EQ(counter(number), words());
}

// In place, as the engine does: all members count a packet or none does, and its verdict is always the same.
TEST_P(Tailcall, CanBeSwitchedInPlaceWhilePacketsGoThrough) {
  Closer goesOn = member(hook.passed), ends = member(hook.ended);
  constexpr uint32_t LENGTH = 6;
  for (uint32_t i = 0; i < LENGTH; ++i) setSlot(0, i, i + 1 < LENGTH ? goesOn : ends);
  auto chain = countingChain(std::vector(LENGTH, bit(hook.passed)));
  setBank(0, chain);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> packets = 0, wrong = 0;
  std::thread flow([&]() {
    for (; !stop; ++packets) wrong += run() != hook.ended;
  });
  auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  int switches = 0;
  for (; std::chrono::steady_clock::now() < enough; ++switches) {
    chain.flags = (const uint32_t[]){CHAIN_COUNTS, CHAIN_COUNTS | CHAIN_TIMES, CHAIN_COUNTED}[switches % 3];
    setBank(0, chain);
    usleep(100);
  }
  stop = true;
  flow.join();
  auto last = counter(LENGTH - 1);
  uint64_t counted = last[COUNTER_FINAL + hook.ended - hook.lowest];
  printf("%d switches, %lu packets, %lu counted\n", switches, packets.load(), counted);
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(counted, 0u);
  EXPECT_LT(counted, packets);
  for (uint32_t i = 0; i + 1 < LENGTH; ++i) EXPECT_EQ(counter(i)[COUNTER_PASSED_ON], counted);
}

TEST_P(Tailcall, CostsLittleForEachMember) {
  std::vector<Closer> members;
  for (uint32_t count = 0; count <= CHAIN_POSITIONS; ++count) {
    if (count) {
      members.push_back(member(hook.passed));
      setSlot(0, count - 1, members.back());
    }
    if (count > 2 && count % 5 != 0) continue;
    uint32_t best[] = {~0u, ~0u, ~0u};
    const uint32_t modes[] = {0, CHAIN_COUNTS, CHAIN_COUNTS | CHAIN_TIMES};
    for (int i = 0; i < 7; ++i)
      for (int mode = 0; mode < 3; ++mode) {
        setBank(0, countingChain(std::vector(count, bit(hook.passed)), modes[mode]));
        uint32_t now;
        run(mode ? 50000 : 200000, &now);
        best[mode] = std::min(best[mode], now);
      }
    printf("%u members: %u ns, counted %u ns, timed %u ns\n", count, best[0], best[1], best[2]);
    EXPECT_LT(best[0], 1000u);
  }
}

}  // namespace
}  // namespace bpfman
