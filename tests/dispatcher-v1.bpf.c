// A dispatcher of the libxdp protocol's version 1, as tools made it before there was a magic number. Of the ten positions it has three.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile struct {
  __u8 count;
  __u32 proceed[10], priorities[10];
} conf = {};

#define POSITION(number)                                           \
  __attribute__((noinline)) int prog##number(struct xdp_md* ctx) { \
    volatile int verdict = 31;                                     \
    return ctx ? verdict : XDP_ABORTED;                            \
  }
POSITION(0)
POSITION(1)
POSITION(2)

SEC("xdp")
int xdp_dispatcher(struct xdp_md* ctx) {
  __u8 count = conf.count;
  int verdict;
  if (count < 1) return XDP_PASS;
  verdict = prog0(ctx);
  if (!((1u << verdict) & conf.proceed[0]) || count < 2) return verdict == 31 ? XDP_PASS : verdict;
  verdict = prog1(ctx);
  if (!((1u << verdict) & conf.proceed[1]) || count < 3) return verdict == 31 ? XDP_PASS : verdict;
  verdict = prog2(ctx);
  return (1u << verdict) & conf.proceed[2] ? XDP_PASS : verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, 1) SEC("xdp_metadata");
