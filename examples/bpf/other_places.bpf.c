// Programs for the entries of maps, not for a hook.
#include "examples/bpf/common.h"

SEC("xdp/cpumap")
int on_cpu(struct xdp_md* packet) { return XDP_PASS; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
