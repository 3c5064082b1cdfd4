// Keeps the verifier busy on purpose, within its limit of one million instructions: each branch depends on a random number and changes a
// register, so that states can't be merged. Measured: 0.7 s for each of the programs, so a load of all four takes about 3 s. For tests of
// loads side by side; too_large_verifier is for cancelling.
#include "examples/bpf/common.h"

#ifndef ROUNDS
#define ROUNDS 16
#endif

volatile __u64 result;

static __always_inline int work(void) {
  __u64 sum = 0;
  for (int i = 0; i < ROUNDS; i++) {
    __u32 random = bpf_get_prandom_u32();
    if (random & 1)
      sum += 1ULL << i;
    else
      sum += 3;
    barrier_var(sum);
  }
  result = sum;
  return sum == 7 ? XDP_DROP : XDP_PASS;
}

#define BUSY(name) \
  SEC("xdp") int name(struct xdp_md* packet) { return work(); }

BUSY(large_verifier)
BUSY(large_verifier_2)
BUSY(large_verifier_3)
BUSY(large_verifier_4)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
