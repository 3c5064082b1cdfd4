// Programs whose sections say where they belong, with offsets; and those that are loaded but fit no place: one reads far behind what its
// tracepoint has, others use a map by which the kernel keeps programs out of program arrays.
#include "examples/bpf/runs.h"

SEC("kprobe/do_nanosleep+5")  // behind what ftrace has there; where a function begins with endbr64 it is 4
int in_kernel(void* context) {
  count(0);
  return 0;
}

SEC("kprobe/do_nanosleep+4")
int in_kernel_ibt(void* context) {
  count(0);
  return 0;
}

SEC("kretprobe/do_nanosleep+4")
int at_return(void* context) {
  count(0);
  return 0;
}

SEC("uprobe//dev/shm/bpfman-section-places:probed+4")
int in_binary(void* context) {
  count(0);
  return 0;
}

SEC("uprobe")
int nowhere(void* context) { return 0; }

SEC("uprobe.multi//dev/shm/bpfman-section-places:prob*")
int in_many(void* context) {
  count(1);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int reads_on(void* context) { return *(volatile __u64*)((char*)context + 2000) != 0; }

struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
  __type(key, struct bpf_cgroup_storage_key);
  __type(value, __u64);
} storage SEC(".maps");

SEC("xdp")
int stores(struct xdp_md* packet) {
  asm volatile("" ::"r"(&storage));
  return XDP_PASS;
}

SEC("tc")
int stores_tc(struct __sk_buff* packet) {
  asm volatile("" ::"r"(&storage));
  return -1;
}

char LICENSE[] SEC("license") = "GPL";
