// A dispatcher of the tailcall engine: runs up to 30 programs on one hook where the kernel refuses freplace. Each position is a subprogram
// that leaves by a tail call, so the member's verdict comes back here. The index of each tail call is a constant: the JIT patches a direct
// jump. Whoever includes this says before what differs between hooks:
//   CONTEXT           what a packet is
//   DISPATCHER_RETURN verdict of a position with an empty slot
//   LOWEST            the verdict of bit 0
//   VERDICTS          how many verdicts, from LOWEST on, are counted one by one
//   END               verdict behind the last position
//   EMPTY             verdict of a chain without members
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "dispatchers/tailcall.h"

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, CHAIN_SLOTS);
  __type(key, __u32);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} active SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, CHAIN_BANKS);
  __type(key, __u32);
  __type(value, struct chain_bank);
} banks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, CHAIN_COUNTERS* COUNTER_WORDS(VERDICTS));
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

// A global function on purpose: the verifier looks at it alone, so it takes the verdict for unknown, as it is when a member ran. In a
// static one it would see only the way past the tail call, where the verdict is constant, and drop the code for all others. volatile: the
// compiler would do the same.
#define POSITION(number, position)                                            \
  __attribute__((noinline)) int bank##number##_##position(CONTEXT* packet) {  \
    volatile int verdict = DISPATCHER_RETURN;                                 \
    bpf_tail_call_static(packet, &slots, number* CHAIN_POSITIONS + position); \
    return verdict;                                                           \
  }

// clang-format off
#define EACH_POSITION(DO, number)                                                                                     \
  DO(number, 0) DO(number, 1) DO(number, 2) DO(number, 3) DO(number, 4) DO(number, 5) DO(number, 6) DO(number, 7)     \
  DO(number, 8) DO(number, 9) DO(number, 10) DO(number, 11) DO(number, 12) DO(number, 13) DO(number, 14) DO(number, 15) \
  DO(number, 16) DO(number, 17) DO(number, 18) DO(number, 19) DO(number, 20) DO(number, 21) DO(number, 22)            \
  DO(number, 23) DO(number, 24) DO(number, 25) DO(number, 26) DO(number, 27) DO(number, 28) DO(number, 29)
// clang-format on

EACH_POSITION(POSITION, 0)
EACH_POSITION(POSITION, 1)

// A verdict that has no bit can't be in the mask: it ends the chain.
#define ENDS(position, verdict) ((__u32)(verdict - (LOWEST)) > 31 || !(bank->proceed[position] >> (verdict - (LOWEST)) & 1))

#define RUN(number, position)                  \
  if (bank->count <= position) return END;     \
  verdict = bank##number##_##position(packet); \
  if (ENDS(position, verdict)) return verdict;

static __always_inline void add(const struct chain_bank* bank, __u32 position, __u32 word, __u64 more) {
  __u32 key = bank->counter[position] * COUNTER_WORDS(VERDICTS) + word;
  __u64* value = bpf_map_lookup_elem(&counters, &key);
  if (value) *value += more;
}

// What became of a packet at a member: not 0: its verdict ends the chain. One clock reading between two members is the end of the first
// and the beginning of the second. Not for each position: it is large.
static __noinline int count(const struct chain_bank* bank, __u32 position, int verdict, __u64* began) {
  if (*began) {
    __u64 now = bpf_ktime_get_ns();
    add(bank, position, COUNTER_NANOSECONDS, now - *began);
    add(bank, position, COUNTER_TIMED_RUNS, 1);
    *began = now;
  }
  int ends = ENDS(position, verdict);
  __u32 final = verdict - (LOWEST);
  if (final > VERDICTS) final = VERDICTS;
  add(bank, position, ends ? COUNTER_FINAL + final : COUNTER_PASSED_ON, 1);
  return ends;
}

#define RUN_COUNTED(number, position)          \
  if (bank->count <= position) return END;     \
  verdict = bank##number##_##position(packet); \
  if (count(bank, position, verdict, &began)) return verdict;

static __always_inline int runFirst(CONTEXT* packet, const struct chain_bank* bank) {
  int verdict;
  EACH_POSITION(RUN, 0)
  return END;
}

static __always_inline int runSecond(CONTEXT* packet, const struct chain_bank* bank) {
  int verdict;
  EACH_POSITION(RUN, 1)
  return END;
}

static __always_inline int countFirst(CONTEXT* packet, const struct chain_bank* bank) {
  int verdict;
  __u64 began = bank->flags & CHAIN_TIMES ? bpf_ktime_get_ns() : 0;
  EACH_POSITION(RUN_COUNTED, 0)
  return END;
}

static __always_inline int countSecond(CONTEXT* packet, const struct chain_bank* bank) {
  int verdict;
  __u64 began = bank->flags & CHAIN_TIMES ? bpf_ktime_get_ns() : 0;
  EACH_POSITION(RUN_COUNTED, 1)
  return END;
}

static __always_inline int dispatch(CONTEXT* packet) {
  __u32 key = 0;
  const volatile __u32* word = bpf_map_lookup_elem(&active, &key);
  if (!word) return EMPTY;
  key = *word != 0;  // once: from here on the other bank does not exist for this packet
  const struct chain_bank* bank = bpf_map_lookup_elem(&banks, &key);
  if (bank && bank->timed && bpf_ktime_get_ns() >= bank->until) {
    key = !key;
    bank = bpf_map_lookup_elem(&banks, &key);
  }
  if (!bank || bank->count == 0) return EMPTY;
  if (__builtin_expect(bank->flags & CHAIN_COUNTS, 0)) return key ? countSecond(packet, bank) : countFirst(packet, bank);
  return key ? runSecond(packet, bank) : runFirst(packet, bank);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
