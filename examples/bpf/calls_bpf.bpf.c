// Programs that call bpf() from inside the kernel, past every filter of system calls: bpfman refuses both.
#include "examples/bpf/common.h"

static __always_inline int makeMap(void) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return bpf_sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

SEC("xdp")
int calls_bpf(struct xdp_md* packet) { return makeMap() < 0 ? XDP_DROP : XDP_PASS; }

SEC("syscall")
int calls_bpf_as_syscall(void* context) { return makeMap(); }

char LICENSE[] SEC("license") = "GPL";
