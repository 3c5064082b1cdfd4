// Two programs of one load, which share its map: the first counts in element 0, the second in element 1.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} shared SEC(".maps");

static __always_inline void countAt(__u32 index) {
  __u64* count = bpf_map_lookup_elem(&shared, &index);
  if (count) ++*count;
}

SEC("xdp")
int two_first(struct xdp_md* packet) {
  countAt(0);
  return XDP_PASS;
}

SEC("xdp")
int two_second(struct xdp_md* packet) {
  countAt(1);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
