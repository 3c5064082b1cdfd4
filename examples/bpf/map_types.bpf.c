// One map of each type that Linux 6.1 has, created from an object alone. Later types: map_types_new.bpf.c.
#include "examples/bpf/common.h"

#define SIZED(name, kind, flags, elements, keySize, valueSize) \
  struct {                                                     \
    __uint(type, BPF_MAP_TYPE_##kind);                         \
    __uint(map_flags, flags);                                  \
    __uint(max_entries, elements);                             \
    __uint(key_size, keySize);                                 \
    __uint(value_size, valueSize);                             \
  } name SEC(".maps")

#define TYPED(name, kind, flags, elements, keyType, valueType) \
  struct {                                                     \
    __uint(type, BPF_MAP_TYPE_##kind);                         \
    __uint(map_flags, flags);                                  \
    __uint(max_entries, elements);                             \
    __type(key, keyType);                                      \
    __type(value, valueType);                                  \
  } name SEC(".maps")

TYPED(array, ARRAY, 0, 3, __u32, __u64);
TYPED(array_mmap, ARRAY, BPF_F_MMAPABLE, 512, __u32, __u64);
TYPED(hash, HASH, BPF_F_NO_PREALLOC, 5, __u64, __u64);
TYPED(percpu_array, PERCPU_ARRAY, 0, 3, __u32, __u64);
TYPED(percpu_hash, PERCPU_HASH, 0, 5, __u64, __u64);
TYPED(lru_hash, LRU_HASH, 0, 5, __u64, __u64);
TYPED(lru_percpu_hash, LRU_PERCPU_HASH, BPF_F_NO_COMMON_LRU, 64, __u64, __u64);
SIZED(lpm_trie, LPM_TRIE, BPF_F_NO_PREALLOC, 7, 8, 4);
SIZED(bloom_filter, BLOOM_FILTER, 0, 100, 0, 8);
SIZED(queue, QUEUE, 0, 4, 0, 8);
SIZED(stack, STACK, 0, 4, 0, 8);
SIZED(prog_array, PROG_ARRAY, 0, 2, 4, 4);
SIZED(perf_event_array, PERF_EVENT_ARRAY, 0, 0, 4, 4);
SIZED(cgroup_array, CGROUP_ARRAY, 0, 2, 4, 4);
SIZED(stack_trace, STACK_TRACE, 0, 16, 4, 127 * 8);
SIZED(devmap, DEVMAP, 0, 4, 4, 8);
SIZED(devmap_hash, DEVMAP_HASH, 0, 4, 4, 4);
SIZED(cpumap, CPUMAP, 0, 2, 4, 8);
SIZED(xskmap, XSKMAP, 0, 4, 4, 4);
SIZED(sockmap, SOCKMAP, 0, 4, 4, 8);
SIZED(sockhash, SOCKHASH, 0, 4, 8, 8);
SIZED(reuseport_array, REUSEPORT_SOCKARRAY, 0, 4, 4, 8);
SIZED(ringbuf, RINGBUF, 0, 4096, 0, 0);
SIZED(user_ringbuf, USER_RINGBUF, 0, 8192, 0, 0);
TYPED(sk_storage, SK_STORAGE, BPF_F_NO_PREALLOC, 0, int, __u64);
TYPED(inode_storage, INODE_STORAGE, BPF_F_NO_PREALLOC, 0, int, __u64);
TYPED(task_storage, TASK_STORAGE, BPF_F_NO_PREALLOC, 0, int, __u64);
TYPED(cgroup_storage, CGROUP_STORAGE, 0, 0, struct bpf_cgroup_storage_key, __u64);
TYPED(percpu_cgroup, PERCPU_CGROUP_STORAGE, 0, 0, struct bpf_cgroup_storage_key, __u64);

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} inner SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(values, struct inner);
} array_of_maps SEC(".maps") = {.values = {&inner}};

struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(values, struct inner);
} hash_of_maps SEC(".maps") = {.values = {[1] = &inner}};

// So that the kernel counts it among the program's maps.
#define NAMED(map) asm volatile("" ::"r"(&map))

SEC("xdp")
int map_types(struct xdp_md* packet) {
  __u64 length = packet->data_end - packet->data;
  bpf_ringbuf_output(&ringbuf, &length, sizeof length, 0);
  bpf_map_push_elem(&queue, &length, BPF_EXIST);
  bpf_map_push_elem(&stack, &length, BPF_EXIST);
  NAMED(array);
  NAMED(array_mmap);
  NAMED(hash);
  NAMED(percpu_array);
  NAMED(percpu_hash);
  NAMED(lru_hash);
  NAMED(lru_percpu_hash);
  NAMED(lpm_trie);
  NAMED(bloom_filter);
  NAMED(prog_array);
  NAMED(perf_event_array);
  NAMED(cgroup_array);
  NAMED(stack_trace);
  NAMED(devmap);
  NAMED(devmap_hash);
  NAMED(cpumap);
  NAMED(xskmap);
  NAMED(sockmap);
  NAMED(sockhash);
  NAMED(reuseport_array);
  NAMED(user_ringbuf);
  NAMED(sk_storage);
  NAMED(inode_storage);
  NAMED(task_storage);
  NAMED(inner);
  NAMED(array_of_maps);
  NAMED(hash_of_maps);
  return XDP_PASS;
}

// Storage of the old kind is for cgroup programs alone.
SEC("cgroup_skb/egress")
int map_types_cgroup(struct __sk_buff* packet) {
  NAMED(cgroup_storage);
  NAMED(percpu_cgroup);
  return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
