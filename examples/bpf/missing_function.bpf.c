// Calls a function that neither the kernel nor a module of it has.
#include "examples/bpf/runs.h"

extern int bpfman_no_such_function(int) __ksym;

SEC("tcx/ingress")
int calls(struct __sk_buff* packet) {
  count(bpfman_no_such_function(1));
  return -1;
}

char LICENSE[] SEC("license") = "GPL";
