// A program that asks how the kernel was built: what the loader knows by itself, and options, which it does not know.
#include "examples/bpf/common.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig;
extern unsigned CONFIG_HZ __kconfig __weak;
extern unsigned CONFIG_NR_CPUS __kconfig __weak;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 5);
  __type(key, __u32);
  __type(value, __u64);
} seen SEC(".maps");

static __always_inline void see(__u32 element, __u64 value) { bpf_map_update_elem(&seen, &element, &value, BPF_ANY); }

SEC("xdp")
int kernel_config(struct xdp_md* packet) {
  see(0, LINUX_KERNEL_VERSION);
  see(1, LINUX_HAS_SYSCALL_WRAPPER);
  see(2, LINUX_HAS_BPF_COOKIE);
  see(3, CONFIG_HZ);
  see(4, CONFIG_NR_CPUS);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
