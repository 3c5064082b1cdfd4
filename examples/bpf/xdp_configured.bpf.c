// An XDP program whose author says where it wants to run (libxdp's run configuration): by priority 7, and the next one also after a drop.
#include "examples/bpf/common.h"

struct {
  __uint(priority, 7);
  __uint(XDP_PASS, 1);
  __uint(XDP_DROP, 1);
} _xdp_configured SEC(".xdp_run_config");

SEC("xdp")
int xdp_configured(struct xdp_md* packet) { return XDP_PASS; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
