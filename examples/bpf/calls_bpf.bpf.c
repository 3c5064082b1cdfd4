// Programs that call bpf() from inside the kernel, past every filter of system calls: bpfman refuses the helper. Where root allows it, the
// one that can be run says what it got.
#include "examples/bpf/common.h"

static __always_inline int makeMap(void) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return bpf_sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

SEC("xdp")
int calls_bpf(struct xdp_md* packet) { return makeMap() < 0 ? XDP_DROP : XDP_PASS; }

struct got {
  __u32 id;  // of a map
  __s32 map, opened, program, types;
};

SEC("syscall")
int calls_bpf_as_syscall(struct got* context) {
  static const char license[] = "GPL";
  static const struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
  static const __u8 btf[24] = {0x9f, 0xeb, 1, 0, 24};
  static union bpf_attr attr;
  context->map = makeMap();
  attr.map_id = context->id;
  context->opened = bpf_sys_bpf(BPF_MAP_GET_FD_BY_ID, &attr, sizeof(attr));
  attr.prog_type = BPF_PROG_TYPE_XDP;  // the same field
  attr.insn_cnt = 2;
  attr.insns = (__u64)(unsigned long)code;
  attr.license = (__u64)(unsigned long)license;
  context->program = bpf_sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
  attr.btf = (__u64)(unsigned long)btf;
  attr.btf_log_buf = 0;
  attr.btf_size = sizeof(btf);
  context->types = bpf_sys_bpf(BPF_BTF_LOAD, &attr, sizeof(attr));
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
