// Counts packets at a TCX hook and lets the next program decide (TCX_NEXT). Works at ingress and at egress.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

SEC("tcx/ingress")
int tcx_counter(struct __sk_buff* packet) {
  __u64* count = ONLY_ELEMENT(packets);
  if (count) ++*count;
  return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
