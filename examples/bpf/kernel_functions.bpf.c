// Calls functions of the kernel itself (kfuncs), which TC programs may since Linux 6.2.
#include "examples/bpf/runs.h"

extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpfman_no_such_function(int) __ksym __weak;

SEC("tcx/ingress")
int calls(struct __sk_buff* packet) {
  bpf_rcu_read_lock();
  count(0);
  bpf_rcu_read_unlock();
  if (bpfman_no_such_function) count(bpfman_no_such_function(1));
  return -1;
}

char LICENSE[] SEC("license") = "GPL";
