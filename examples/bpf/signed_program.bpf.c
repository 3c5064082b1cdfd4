// For signed programs, in which maps are named by index: by themselves, and a place in their value.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} runs SEC(".maps");

const volatile __u64 step = 1;
__u64 total;

SEC("tracepoint/syscalls/sys_enter_getpgid")
int counted(void* context) {
  __u64* value = ONLY_ELEMENT(runs);
  if (value) __sync_fetch_and_add(value, step);
  __sync_fetch_and_add(&total, step);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int other(void* context) { return 0; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
