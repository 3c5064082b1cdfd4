// Several XDP programs on one interface. The verdicts are libxdp's.
#define CONTEXT struct xdp_md
#define DISPATCHER_RETURN XDP_DISPATCHER_RETURN
#define LOWEST 0
#define VERDICTS XDP_COUNTED_VERDICTS
#define END XDP_PASS
#define EMPTY XDP_PASS
#include "dispatchers/tailcall.bpf.h"

SEC("xdp")
int xdp_dispatcher(struct xdp_md* packet) { return dispatch(packet); }
