// Programs that others than bpfman load and hand over: what each was loaded for is fixed, or is said at the attach.
#include "examples/bpf/runs.h"

SEC("fentry/do_nanosleep")
int taken_fentry(void* context) {
  count(0);
  return 0;
}

SEC("fexit/do_nanosleep")
int taken_fexit(void* context) {
  count(0);
  return 0;
}

SEC("lsm/file_open")
int taken_lsm(void* context) {
  count(0);
  return 0;
}

SEC("kprobe/do_nanosleep")
int taken_kprobe(void* context) {
  count(0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
