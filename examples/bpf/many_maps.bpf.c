// One program with many maps of different kinds: what a load with a lot to create and to pin looks like.
#include "examples/bpf/common.h"

#define MAP(name, kind, elements, keyType, valueType) \
  struct {                                            \
    __uint(type, kind);                               \
    __uint(max_entries, elements);                    \
    __type(key, keyType);                             \
    __type(value, valueType);                         \
  } name SEC(".maps")

MAP(array_map, BPF_MAP_TYPE_ARRAY, 16, __u32, __u64);
MAP(hash_map, BPF_MAP_TYPE_HASH, 128, __u64, __u64);
MAP(lru_map, BPF_MAP_TYPE_LRU_HASH, 128, __u64, __u64);
MAP(percpu_array_map, BPF_MAP_TYPE_PERCPU_ARRAY, 16, __u32, __u64);
MAP(percpu_hash_map, BPF_MAP_TYPE_PERCPU_HASH, 128, __u64, __u64);
MAP(lru_percpu_map, BPF_MAP_TYPE_LRU_PERCPU_HASH, 128, __u64, __u64);

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring_map SEC(".maps");

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} inner_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(values, struct inner);
} outer_map SEC(".maps") = {.values = {&inner_map}};

struct prefix {
  __u32 bits;
  __u8 address[4];
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct prefix);
  __type(value, __u32);
} trie_map SEC(".maps");

int many_tail(struct xdp_md* packet);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(values, int(struct xdp_md*));
} tail_map SEC(".maps") = {.values = {[1] = &many_tail}};

static __always_inline void raise(void* map) {
  __u64 key = 0, one = 1;
  __u64* count = bpf_map_lookup_elem(map, &key);
  if (count)
    ++*count;
  else
    bpf_map_update_elem(map, &key, &one, BPF_ANY);
}

SEC("xdp")
int many_tail(struct xdp_md* packet) {
  raise(&array_map);
  return XDP_PASS;
}

SEC("xdp")
int many_maps(struct xdp_md* packet) {
  __u32 first = 0;
  struct prefix address = {.bits = 32};
  __u64 length = packet->data_end - packet->data;
  raise(&hash_map);
  raise(&lru_map);
  raise(&percpu_array_map);
  raise(&percpu_hash_map);
  raise(&lru_percpu_map);
  bpf_ringbuf_output(&ring_map, &length, sizeof(length), BPF_RB_NO_WAKEUP);
  void* inner = bpf_map_lookup_elem(&outer_map, &first);
  if (inner) bpf_map_lookup_elem(inner, &first);
  bpf_map_lookup_elem(&trie_map, &address);
  bpf_tail_call(packet, &tail_map, 1);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
