// Programs whose sections say their types, one that is left alone unless it is named, and maps whose size can be set or not.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
} events SEC(".maps");

volatile __u32 seen;

static __always_inline void count(__u32 key) {
  __u64 one = 1;
  bpf_map_update_elem(&table, &key, &one, BPF_ANY);
  seen += 1;
}

SEC("xdp")
int kind_xdp(struct xdp_md* packet) {
  count(1);
  return XDP_PASS;
}

SEC("classifier")
int kind_tc(struct __sk_buff* packet) {
  count(2);
  return -1;
}

SEC("tcx/ingress")
int kind_tcx(struct __sk_buff* packet) {
  count(3);
  return -1;
}

SEC("tracepoint/syscalls/sys_enter_kill")
int kind_tracepoint(void* context) {
  count(4);
  return 0;
}

SEC("cgroup_skb/ingress")
int kind_cgroup(struct __sk_buff* packet) {
  count(5);
  return 1;
}

SEC("?xdp")
int kind_optional(struct xdp_md* packet) { return XDP_PASS; }

// The verifier refuses it: left alone, it hinders nobody.
SEC("?xdp")
int kind_broken(struct xdp_md* packet) { return *(volatile int*)(long)packet->data; }

SEC("?lirc_mode2")
int kind_unknown(struct bpf_sk_lookup* context) { return 1; }

char LICENSE[] SEC("license") = "GPL";
