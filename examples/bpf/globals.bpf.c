// One global variable of each kind that a loader may set, and a map that shows what the program sees of them.
#include "examples/bpf/common.h"

const volatile __u8 small = 1;
const volatile __u32 medium = 2;
volatile __u64 large = 3;
volatile __u16 triple[3] = {4, 5, 6};
volatile __u32 unset;  // .bss

struct view {
  __u64 large;
  __u32 medium, unset;
  __u16 triple[3];
  __u8 small;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct view);
} seen SEC(".maps");

SEC("xdp")
int globals(struct xdp_md* packet) {
  struct view* view = ONLY_ELEMENT(seen);
  if (!view) return XDP_PASS;
  view->large = large;
  view->medium = medium;
  view->unset = unset;
  view->triple[0] = triple[0];
  view->triple[1] = triple[1];
  view->triple[2] = triple[2];
  view->small = small;
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
