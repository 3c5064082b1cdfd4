// Variables whose values are as long, as text, as is shown.
#include "examples/bpf/common.h"

volatile __u32 a[131071] = {1};
volatile __u32 b = 1;

SEC("xdp")
int large_values(struct xdp_md* packet) { return b ? XDP_PASS : XDP_DROP; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
