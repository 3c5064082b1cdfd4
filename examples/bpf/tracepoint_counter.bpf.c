// Counts kill(2) by signal number, off the tracepoint that fires when the call begins.
#include "examples/bpf/common.h"

// As /sys/kernel/tracing/events/syscalls/sys_enter_kill/format says: stable ABI.
struct kill_arguments {
  __u64 common;
  __s64 nr, pid, signal;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 65);
  __type(key, __u32);
  __type(value, __u64);
} hits SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_kill")
int tracepoint_counter(struct kill_arguments* call) {
  __u32 signal = call->signal;
  __u64* count = bpf_map_lookup_elem(&hits, &signal);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
