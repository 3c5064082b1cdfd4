// What modules of the kernel have and the kernel itself lacks: functions that are watched (veth's), a tracepoint (9pnet's), and a struct
// (veth's).
#include "examples/bpf/common.h"

#include <bpf/bpf_core_read.h>

enum { ENTERED, LEFT, TRACED, EXISTS, SIZE, OFFSET, ELEMENTS };  // of `seen`

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, ELEMENTS);
  __type(key, __u32);
  __type(value, __u64);
} seen SEC(".maps");

static __always_inline void add(__u32 element, __u64 number) {
  __u64* value = bpf_map_lookup_elem(&seen, &element);
  if (value) __sync_fetch_and_add(value, number);
}
static __always_inline void put(__u32 element, __u64 number) { bpf_map_update_elem(&seen, &element, &number, BPF_ANY); }

SEC("fentry/veth:veth_xmit")
int entered(void* context) {
  add(ENTERED, 1);
  return 0;
}

SEC("fexit/veth_xmit")
int left(void* context) {
  add(LEFT, 1);
  return 0;
}

SEC("tp_btf/9pnet:9p_client_req")
int traced(void* context) {
  add(TRACED, 1);
  return 0;
}

// The module's own struct, as far as it is looked at here.
struct veth_priv {
  unsigned int requested_headroom;
} __attribute__((preserve_access_index));

SEC("fentry/veth_xmit")
int fitted(void* context) {
  put(EXISTS, bpf_core_type_exists(struct veth_priv));
  if (!bpf_core_type_exists(struct veth_priv)) return 0;
  put(SIZE, bpf_core_type_size(struct veth_priv));
  put(OFFSET, bpf_core_field_offset(struct veth_priv, requested_headroom));
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
