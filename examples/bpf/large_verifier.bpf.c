// Keeps the verifier busy on purpose, within its limit of one million instructions: each branch depends on a packet-independent random
// bit and changes a register, so that states can't be merged. For tests of cancelling and of loads side by side.
#include "examples/bpf/common.h"

#ifndef ROUNDS
#define ROUNDS 14
#endif

volatile __u64 result;

SEC("xdp")
int large_verifier(struct xdp_md* packet) {
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
