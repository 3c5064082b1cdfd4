// A constant that is where the kernel has a field: whose kernel, the types say that it is fitted to.
#include "examples/bpf/common.h"
#include <bpf/bpf_core_read.h>

struct sk_buff {
  unsigned int len;
} __attribute__((preserve_access_index));

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} offsets SEC(".maps");

SEC("xdp")
int core_offset(struct xdp_md* packet) {
  __u64* offset = ONLY_ELEMENT(offsets);
  if (offset) *offset = __builtin_preserve_field_info(((struct sk_buff*)0)->len, BPF_FIELD_BYTE_OFFSET);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
