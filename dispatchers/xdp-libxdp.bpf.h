// The dispatcher of the libxdp engine, for the version of the protocol and its configuration that the including file names (VERSION,
// CONFIG). Each position is a global function that the kernel replaces by a member (freplace). The configuration is constant when the
// program is verified, so positions that are not in use cost nothing.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "dispatchers/positions.h"
#include "dispatchers/xdp-libxdp.h"

// Other tools look for the map's size and this name's section, not for the variable's own name.
const volatile struct CONFIG conf = {};

// The call that changes nothing tells the verifier that a position may move the packet's data: a member may. volatile: the verdict is not
// known when this is compiled.
#define POSITION(number)                                           \
  __attribute__((noinline)) int prog##number(struct xdp_md* ctx) { \
    volatile int verdict = XDP_MULTI_RETURN;                       \
    if (!ctx) return XDP_ABORTED;                                  \
    bpf_xdp_adjust_tail(ctx, 0);                                   \
    return verdict;                                                \
  }

EACH_POSITION(POSITION)

// By replacing this one, other tools try what a kernel can.
__attribute__((noinline)) int compat_test(struct xdp_md* ctx) {
  volatile int verdict = XDP_MULTI_RETURN;
  if (!ctx) return XDP_ABORTED;
  return verdict;
}

#define RUN(number)                        \
  if (count < number + 1) return XDP_PASS; \
  verdict = prog##number(ctx);             \
  if (!((1u << verdict) & conf.proceed[number])) return verdict;

SEC("xdp")
int xdp_dispatcher(struct xdp_md* ctx) {
  __u8 count = conf.count;
  int verdict;
  EACH_POSITION(RUN)
  if (count > XDP_MULTI_POSITIONS) return compat_test(ctx);  // never; so that it is there
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, VERSION) SEC("xdp_metadata");
