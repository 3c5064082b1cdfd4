// Variables whose values are as long, as text, as is shown, and one element more.
#include "examples/bpf/common.h"

volatile __u32 a[131072] = {1};
volatile __u32 b = 1;

SEC("xdp")
int larger_values(struct xdp_md* packet) { return b ? XDP_PASS : XDP_DROP; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
