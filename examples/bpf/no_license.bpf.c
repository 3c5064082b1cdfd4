// Refused on purpose: calls a helper that only GPL-compatible programs may call, and has no licence.
#include "examples/bpf/common.h"

SEC("raw_tp/sys_enter")
int no_license(void* context) {
  long word = 0;
  bpf_probe_read_kernel(&word, sizeof(word), context);
  return word == 1;
}
