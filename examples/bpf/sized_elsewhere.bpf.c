// A map whose number of elements the author's own loader sets, as those of libbpf-tools do.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, __u32);
  __type(value, __u64);
} no_elements SEC(".maps");

SEC("xdp")
int sized_elsewhere(struct xdp_md* packet) {
  ONLY_ELEMENT(no_elements);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
