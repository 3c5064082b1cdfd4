// A second XDP program for chains: counts the packets and bytes that reach it. Its place in the chain shows in what it does not see.
#include "examples/bpf/common.h"

const volatile __u32 verdict = XDP_PASS;

struct seen {
  __u64 packets, bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct seen);
} marks SEC(".maps");

SEC("xdp")
int xdp_second(struct xdp_md* packet) {
  struct seen* seen = ONLY_ELEMENT(marks);
  if (seen) {
    seen->packets++;
    seen->bytes += packet->data_end - packet->data;
  }
  return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
