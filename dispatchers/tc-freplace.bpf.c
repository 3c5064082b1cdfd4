// The TC dispatcher of the freplace engine. Each position is a global function that the kernel replaces by a member (freplace). The
// configuration is constant when the program is verified, so positions that are not in use cost nothing. Verdicts mean what they do in the
// tailcall engine's: a chain without members has no opinion, and behind the last position is ok.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "dispatchers/tailcall.h"
#include "dispatchers/positions.h"
#include "dispatchers/tc-freplace.h"

const volatile struct tc_freplace_config conf = {};

// The call, which is never made where a member is, tells the verifier that a position may move the packet's data: a member may. volatile:
// the verdict is not known when this is compiled.
#define POSITION(number)                                                 \
  __attribute__((noinline)) int prog##number(struct __sk_buff* packet) { \
    volatile int verdict = TC_DISPATCHER_RETURN;                         \
    if (!packet) return TC_ACT_UNSPEC;                                   \
    bpf_skb_pull_data(packet, 0);                                        \
    return verdict;                                                      \
  }

EACH_POSITION(POSITION)

// A verdict that has no bit can't be in the mask: it ends the chain.
#define ENDS(verdict, mask) ((__u32)(verdict - TC_ACT_UNSPEC) > 31 || !((mask) >> (verdict - TC_ACT_UNSPEC) & 1))

#define RUN(number)                      \
  if (count <= number) return TC_ACT_OK; \
  verdict = prog##number(packet);        \
  if (ENDS(verdict, conf.proceed[number])) return verdict;

SEC("tc")
int tc_dispatcher(struct __sk_buff* packet) {
  __u32 count = conf.count;
  int verdict;
  if (count == 0) return TC_ACT_UNSPEC;
  EACH_POSITION(RUN)
  return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
