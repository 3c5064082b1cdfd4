// Counts packets per CPU and gives each the verdict that the loader chose (2, XDP_PASS, unless the global variable is set).
#include "examples/bpf/common.h"

const volatile __u32 verdict = XDP_PASS;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int xdp_counter(struct xdp_md* packet) {
  __u64* count = ONLY_ELEMENT(packets);
  if (count) ++*count;
  return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
