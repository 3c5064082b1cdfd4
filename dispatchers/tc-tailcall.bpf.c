// Several TC programs on one direction of an interface, as upstream's TC dispatcher runs them. A chain without members has no opinion: the
// next filter is asked, as if the dispatcher were not there.
#include <linux/pkt_cls.h>
#define CONTEXT struct __sk_buff
#define DISPATCHER_RETURN TC_DISPATCHER_RETURN
#define LOWEST TC_ACT_UNSPEC
#define VERDICTS TC_COUNTED_VERDICTS
#define END TC_ACT_OK
#define EMPTY TC_ACT_UNSPEC
#include "dispatchers/tailcall.bpf.h"

SEC("tc")
int tc_dispatcher(struct __sk_buff* packet) { return dispatch(packet); }
