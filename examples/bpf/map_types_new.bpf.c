// Types of maps that came after Linux 6.1: cgroup storage (6.2), arena (6.9).
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u64);
} cgrp_storage SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 4);  // pages
} arena SEC(".maps");

SEC("xdp")
int map_types_new(struct xdp_md* packet) {
  asm volatile("" ::"r"(&cgrp_storage));  // so that the kernel counts them among the program's maps
  asm volatile("" ::"r"(&arena));
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
