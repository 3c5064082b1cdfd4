// Refused on purpose, with a verifier's log of more than 256 KiB: a long way straight ahead to a bad memory access.
#include "examples/bpf/common.h"

volatile __u64 step;

SEC("xdp")
int long_log(struct xdp_md* packet) {
#pragma unroll
  for (int i = 0; i < 4000; i++) step = step * 3 + i;
  __u64* outside = (void*)(long)packet->data;
  return *outside == 1 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
