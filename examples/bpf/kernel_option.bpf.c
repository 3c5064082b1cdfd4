// A program that can't do without an option with which the kernel was built.
#include "examples/bpf/common.h"

extern unsigned CONFIG_NR_CPUS __kconfig;

SEC("xdp")
int kernel_option(struct xdp_md* packet) { return CONFIG_NR_CPUS ? XDP_PASS : XDP_ABORTED; }

char LICENSE[] SEC("license") = "GPL";
