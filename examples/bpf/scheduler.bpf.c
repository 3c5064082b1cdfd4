// A scheduler for sched_ext: one queue for all CPUs, first in, first out. It counts whom it put there, and whom it took from there.
#include "examples/bpf/runs.h"

#include <bpf/bpf_tracing.h>

#define QUEUE 1
#define SLICE 5000000  // nanoseconds

struct task_struct {};
struct sched_ext_ops {  // as much as is used of the kernel's
  void (*enqueue)(struct task_struct* task, __u64 flags);
  void (*dispatch)(__s32 cpu, struct task_struct* previous);
  __s32 (*init)(void);
  __u64 flags;
  __u32 timeout_ms;
  char name[128];
};

extern __s32 scx_bpf_create_dsq(__u64 id, __s32 node) __ksym;
extern void scx_bpf_dsq_insert(struct task_struct* task, __u64 queue, __u64 slice, __u64 flags) __ksym __weak;
extern _Bool scx_bpf_dsq_move_to_local(__u64 queue) __ksym __weak;
// What Linux 6.12 calls them:
extern void scx_bpf_dispatch(struct task_struct* task, __u64 queue, __u64 slice, __u64 flags) __ksym __weak;
extern _Bool scx_bpf_consume(__u64 queue) __ksym __weak;

SEC("struct_ops/enqueue")
void BPF_PROG(enqueue, struct task_struct* task, __u64 flags) {
  count(0);
  if (bpf_ksym_exists(scx_bpf_dsq_insert))
    scx_bpf_dsq_insert(task, QUEUE, SLICE, flags);
  else
    scx_bpf_dispatch(task, QUEUE, SLICE, flags);
}

SEC("struct_ops/dispatch")
void BPF_PROG(dispatch, __s32 cpu, struct task_struct* previous) {
  if (bpf_ksym_exists(scx_bpf_dsq_move_to_local) ? scx_bpf_dsq_move_to_local(QUEUE) : scx_bpf_consume(QUEUE)) count(1);
}

SEC("struct_ops.s/init")
__s32 BPF_PROG(init_queue) { return scx_bpf_create_dsq(QUEUE, -1); }

SEC(".struct_ops.link")
struct sched_ext_ops fifo = {
    .enqueue = (void*)enqueue,
    .dispatch = (void*)dispatch,
    .init = (void*)init_queue,
    .flags = 1 << 2,  // those that are about to exit are enqueued too
    .timeout_ms = 5000,
    .name = "bpfman_fifo",
};

char LICENSE[] SEC("license") = "GPL";
