// Counts the runs of static probes with two arguments, and adds up what these are.
#include "examples/bpf/common.h"

#include <linux/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

struct sums {
  __s64 runs, first, second;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct sums);
} sums SEC(".maps");

SEC("usdt")
int BPF_USDT(usdt_counter, long first, long second) {
  struct sums* all = ONLY_ELEMENT(sums);
  if (!all) return 0;
  __sync_fetch_and_add(&all->runs, 1);
  __sync_fetch_and_add(&all->first, first);
  __sync_fetch_and_add(&all->second, second);
  return 0;
}

SEC("usdt//dev/shm/bpfman-static-probes:shop:sold")
int BPF_USDT(usdt_section, long first, long second) { return 0; }

char LICENSE[] SEC("license") = "GPL";
