// Its map `shared` is pinned by name too, and another than shared_map.bpf.c's. `roomy` and `devices` are what the kernel makes larger, or
// gives a flag, by itself.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 9);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64);
  __type(value, __u32);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} shared SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_NO_COMMON_LRU);
  __type(key, __u32);
  __type(value, __u32);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} roomy SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} devices SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 5000);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} ring SEC(".maps");

SEC("xdp")
int shared_other(struct xdp_md* packet) {
  __u64 key = 0;
  __u32 half = 0;
  bpf_map_lookup_elem(&shared, &key);
  bpf_map_lookup_elem(&roomy, &half);
  bpf_perf_event_output(packet, &events, BPF_F_CURRENT_CPU, &half, sizeof half);
  bpf_ringbuf_output(&ring, &half, sizeof half, 0);
  return bpf_redirect_map(&devices, 0, XDP_PASS);
}

char LICENSE[] SEC("license") = "GPL";
