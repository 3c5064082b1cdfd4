// A map as it was defined before BTF, and as Aya's #[map] still does.
#include "examples/bpf/common.h"

struct {
  __u32 type, key_size, value_size, max_entries, flags;
} old_map SEC("maps") = {BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0};

SEC("xdp")
int old_maps(struct xdp_md* packet) {
  ONLY_ELEMENT(old_map);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
