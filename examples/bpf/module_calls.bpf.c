// Calls functions of a module of the kernel (nf_conntrack's), and watches one of another.
#include "examples/bpf/common.h"

enum { ENTERED, LOOKED_UP, ERROR, ELEMENTS };  // of `seen`

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

// The module's own structs, as far as they are looked at here.
struct nf_conn {
  unsigned long status;
} __attribute__((preserve_access_index));
struct bpf_ct_opts {
  __s32 netns_id, error;
  __u8 l4proto, dir, reserved[2];
};

extern struct nf_conn* bpf_xdp_ct_lookup(struct xdp_md*, struct bpf_sock_tuple*, __u32, struct bpf_ct_opts*, __u32) __ksym;
extern void bpf_ct_release(struct nf_conn*) __ksym;

SEC("xdp")
int looks_up(struct xdp_md* context) {
  struct bpf_sock_tuple tuple = {};
  struct bpf_ct_opts options = {.netns_id = -1, .l4proto = 17};  // of this namespace, UDP
  tuple.ipv4.saddr = tuple.ipv4.daddr = 0x0100007f;
  tuple.ipv4.sport = tuple.ipv4.dport = 0x0900;
  struct nf_conn* connection = bpf_xdp_ct_lookup(context, &tuple, sizeof tuple.ipv4, &options, sizeof options);
  add(LOOKED_UP, 1);
  put(ERROR, -options.error);
  if (connection) bpf_ct_release(connection);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
