// The dispatcher of the tailcall engine: runs up to ten XDP programs on one interface where the kernel refuses freplace. Each position is
// a subprogram that leaves by a tail call, so the member's verdict comes back here. The index of each tail call is a constant: the JIT
// patches a direct jump.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "dispatchers/xdp-tailcall.h"

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, XDP_SLOTS);
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
  __uint(max_entries, XDP_BANKS);
  __type(key, __u32);
  __type(value, struct xdp_bank);
} banks SEC(".maps");

// A global function on purpose: the verifier looks at it alone, so it takes the verdict for unknown, as it is when a member ran. In a
// static one it would see only the way past the tail call, where the verdict is constant, and drop the code for all others. volatile: the
// compiler would do the same.
#define POSITION(number, position)                                                 \
  __attribute__((noinline)) int bank##number##_##position(struct xdp_md* packet) { \
    volatile int verdict = XDP_DISPATCHER_RETURN;                                  \
    bpf_tail_call_static(packet, &slots, number* XDP_POSITIONS + position);        \
    return verdict;                                                                \
  }

#define EACH_POSITION(DO, number) \
  DO(number, 0)                   \
  DO(number, 1) DO(number, 2) DO(number, 3) DO(number, 4) DO(number, 5) DO(number, 6) DO(number, 7) DO(number, 8) DO(number, 9)

EACH_POSITION(POSITION, 0)
EACH_POSITION(POSITION, 1)

// A verdict that has no bit can't be in the mask: it ends the chain.
#define RUN(number, position)                   \
  if (bank->count <= position) return XDP_PASS; \
  verdict = bank##number##_##position(packet);  \
  if ((__u32)verdict > 31 || !(bank->proceed[position] >> verdict & 1)) return verdict;

static __always_inline int runFirst(struct xdp_md* packet, const struct xdp_bank* bank) {
  int verdict;
  EACH_POSITION(RUN, 0)
  return XDP_PASS;
}

static __always_inline int runSecond(struct xdp_md* packet, const struct xdp_bank* bank) {
  int verdict;
  EACH_POSITION(RUN, 1)
  return XDP_PASS;
}

SEC("xdp")
int xdp_dispatcher(struct xdp_md* packet) {
  __u32 key = 0;
  const volatile __u32* word = bpf_map_lookup_elem(&active, &key);
  if (!word) return XDP_PASS;
  key = *word != 0;  // once: from here on the other bank does not exist for this packet
  const struct xdp_bank* bank = bpf_map_lookup_elem(&banks, &key);
  if (!bank) return XDP_PASS;
  return key ? runSecond(packet, bank) : runFirst(packet, bank);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
