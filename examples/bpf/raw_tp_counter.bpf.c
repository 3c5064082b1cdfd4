// Counts system calls of all processes, off the raw tracepoint.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} calls SEC(".maps");

SEC("raw_tp/sys_enter")
int raw_tp_counter(void* context) {
  __u64* count = ONLY_ELEMENT(calls);
  if (count) ++*count;
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
