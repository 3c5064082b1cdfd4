// Counts context switches by whether the task that leaves the CPU was a kernel thread. CO-RE: the offset of task_struct.flags is found in
// the running kernel's BTF when the program is loaded.
#include "examples/bpf/common.h"
#include <bpf/bpf_tracing.h>

struct task_struct {
  unsigned int flags;
} __attribute__((preserve_access_index));

enum { KERNEL_THREAD = 0x00200000 };  // PF_KTHREAD

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} switches SEC(".maps");

SEC("tp_btf/sched_switch")
int BPF_PROG(tp_btf_counter, _Bool preempted, struct task_struct* from, struct task_struct* to) {
  __u32 kind = (from->flags & KERNEL_THREAD) != 0;
  __u64* count = bpf_map_lookup_elem(&switches, &kind);
  if (count) ++*count;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
