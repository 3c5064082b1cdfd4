// Refused by the verifier on purpose: the value that a lookup gives is used without a look whether there is one ("invalid mem access").
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int bad_verifier(struct xdp_md* packet) {
  __u64* count = ONLY_ELEMENT(packets);
  ++*count;
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
