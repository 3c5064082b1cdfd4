// One program with maps whose values have 40 different sizes: more than the pairs of sizes for which bpfman keeps an element iterator.
#include "examples/bpf/common.h"

#define MAP(number)                   \
  struct {                            \
    __uint(type, BPF_MAP_TYPE_ARRAY); \
    __uint(max_entries, 1);           \
    __uint(key_size, 4);              \
    __uint(value_size, number);       \
  } size_##number SEC(".maps");
// clang-format off
#define FOR_EACH(do) \
  do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15) do(16) do(17) do(18) do(19) do(20) \
  do(21) do(22) do(23) do(24) do(25) do(26) do(27) do(28) do(29) do(30) \
  do(31) do(32) do(33) do(34) do(35) do(36) do(37) do(38) do(39) do(40)
// clang-format on
FOR_EACH(MAP)

#define USE(number) uses += bpf_map_lookup_elem(&size_##number, &first) != 0;
SEC("xdp")
int many_sizes(struct xdp_md* packet) {
  __u32 first = 0, uses = 0;
  FOR_EACH(USE)
  return uses ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
