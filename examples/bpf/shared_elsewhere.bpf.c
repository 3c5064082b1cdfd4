// Pinned where iproute2 calls it the global name space: libbpf knows one kind of pinning only.
#include "examples/bpf/common.h"

#define PIN_GLOBAL_NS 2

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 8);
  __type(key, __u32);
  __type(value, __u64);
  __uint(pinning, PIN_GLOBAL_NS);
} shared SEC(".maps");

SEC("xdp")
int shared_elsewhere(struct xdp_md* packet) { return ONLY_ELEMENT(shared) ? XDP_PASS : XDP_DROP; }

char LICENSE[] SEC("license") = "GPL";
