// Counts packets in a map that is pinned by its name, which all loads of one application have in common, and in one of its own.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 8);
  __type(key, __u32);
  __type(value, __u64);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} shared SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} alone SEC(".maps");

static void count(void) {
  __u64* count;
  if ((count = ONLY_ELEMENT(shared))) __sync_fetch_and_add(count, 1);
  if ((count = ONLY_ELEMENT(alone))) __sync_fetch_and_add(count, 1);
}

SEC("xdp")
int shared_xdp(struct xdp_md* packet) {
  count();
  return XDP_PASS;
}

SEC("tcx/ingress")
int shared_tcx(struct __sk_buff* packet) {
  count();
  return -1;  // TCX_NEXT
}

char LICENSE[] SEC("license") = "GPL";
