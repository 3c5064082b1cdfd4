// A global variable in an arena: only who maps the arena can set it.
#include "examples/bpf/common.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 4);
} arena SEC(".maps");

int in_arena SEC(".addr_space.1") = 7;

SEC("xdp")
int arena_globals(struct xdp_md* packet) { return in_arena; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
