// What objects for other loaders look like: names behind the word of a section, and types on maps that have one size only.
#include "examples/bpf/common.h"

struct record {
  __u64 time, bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
  __type(value, struct record);
} typed_ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __type(value, struct record);
} typed_events SEC(".maps");

SEC("xdp/of_mine")
int named_xdp(struct xdp_md* packet) {
  struct record one = {.bytes = packet->data_end - packet->data};
  bpf_ringbuf_output(&typed_ring, &one, sizeof one, 0);
  bpf_perf_event_output(packet, &typed_events, BPF_F_CURRENT_CPU, &one, sizeof one);
  return XDP_PASS;
}

SEC("classifier/of_mine")
int named_tc(struct __sk_buff* packet) { return 0; }

SEC("cgroup_skb/ingress/of_mine")
int named_cgroup(struct __sk_buff* packet) { return 1; }

SEC("sk_lookup/")
int named_lookup(struct bpf_sk_lookup* lookup) { return 1; }

SEC("nothing/of_mine")
int named_nothing(void* context) { return 0; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
