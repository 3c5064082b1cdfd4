// Counts packets per CPU at a TC hook and gives each the verdict that the loader chose (3, TC_ACT_PIPE, unless the global variable is set).
// With a number it also shows where in the chain it ran: it appends the number to the packet's mark, and keeps the last mark.
#include "examples/bpf/common.h"

#include <linux/pkt_cls.h>

const volatile __s32 verdict = TC_ACT_PIPE;
const volatile __u32 number = 0;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} mark SEC(".maps");

SEC("tc")
int tc_counter(struct __sk_buff* packet) {
  __u64* count = ONLY_ELEMENT(packets);
  if (count) ++*count;
  if (number) {
    packet->mark = packet->mark * 10 + number;
    __u32* last = ONLY_ELEMENT(mark);
    if (last) *last = packet->mark;
  }
  return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
