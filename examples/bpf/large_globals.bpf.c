// Variables of the size up to which values are set by their types, and one byte more.
#include "examples/bpf/common.h"

char fits[64 << 10], one_more[(64 << 10) + 1];

SEC("xdp")
int large_globals(struct xdp_md* packet) { return fits[packet->rx_queue_index & 7] + one_more[0] ? XDP_DROP : XDP_PASS; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
