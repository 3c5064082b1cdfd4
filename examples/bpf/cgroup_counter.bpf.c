// Counts packets of a cgroup, and lets them pass.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

SEC("cgroup_skb/egress")
int cgroup_counter(struct __sk_buff* packet) {
  __u64* count = ONLY_ELEMENT(packets);
  if (count) __sync_fetch_and_add(count, 1);
  return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
