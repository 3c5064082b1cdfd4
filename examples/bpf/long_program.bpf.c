// More instructions than an answer has room for (--to-sign), all in one line: the verifier passes each once.
#include "examples/bpf/common.h"

SEC("xdp")
int long_program(struct xdp_md* packet) {
  asm volatile(".rept 82000; r0 = 0; .endr" ::: "r0");
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
