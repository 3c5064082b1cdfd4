// What several examples share: fixed-width types for BPF C and the bpf helpers. No vmlinux.h: the few kernel structs that an example
// reads are declared where they are used, and CO-RE finds their real layout at load.
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// The first (and only) element of an array map.
#define ONLY_ELEMENT(map)               \
  ({                                    \
    __u32 only = 0;                     \
    bpf_map_lookup_elem(&(map), &only); \
  })
