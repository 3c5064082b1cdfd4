// How often each program ran: an element for each of those that one object counts apart.
#pragma once

#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u64);
} runs SEC(".maps");

static __always_inline void count(__u32 element) {
  __u64* value = bpf_map_lookup_elem(&runs, &element);
  if (value) __sync_fetch_and_add(value, 1);
}
