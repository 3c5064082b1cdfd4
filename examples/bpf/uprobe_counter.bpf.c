// Counts how often a function was called, and how often it returned.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} calls SEC(".maps");

static __always_inline int count(__u32 which) {
  __u64* number = bpf_map_lookup_elem(&calls, &which);
  if (number) __sync_fetch_and_add(number, 1);
  return 0;
}

SEC("uprobe")
int uprobe_counter(void* registers) { return count(0); }

SEC("uretprobe")
int uretprobe_counter(void* registers) { return count(1); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
