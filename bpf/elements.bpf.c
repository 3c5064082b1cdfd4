// An iterator over the elements of one map: each key and its value, raw, one behind the other. Its reader gets their bytes and nothing to
// write with. The kernel compares what the program reads with the map's sizes when the two are brought together, so the sizes are
// constants, and there is one program for each pair of them (frontend/elements.c++).
#include "bpf/kernel.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 key_size = 0, value_size = 0;  // bytes; of a per-CPU map the values of all possible CPUs

SEC("iter/bpf_map_elem")
int dump_elements(struct bpf_iter__bpf_map_elem* ctx) {
  struct seq_file* out = ctx->meta->seq;
  void *key = ctx->key, *value = ctx->value;
  if (!key || !value) return 0;  // the end
  bpf_seq_write(out, key, key_size);
  bpf_seq_write(out, value, value_size);
  return 0;
}
