// Two congestion controls that count and otherwise do as Reno does, by the kernel's own functions; one has two of them of its own.
#include "examples/bpf/runs.h"

#include <bpf/bpf_tracing.h>

struct sock {};              // with a body: by it libbpf compares the functions that are called
struct tcp_congestion_ops {  // as much as is used of the kernel's
  __u32 (*ssthresh)(struct sock* sk);
  void (*cong_avoid)(struct sock* sk, __u32 ack, __u32 acked);
  __u32 (*undo_cwnd)(struct sock* sk);
  char name[16];
};

extern __u32 tcp_reno_ssthresh(struct sock* sk) __ksym;
extern void tcp_reno_cong_avoid(struct sock* sk, __u32 ack, __u32 acked) __ksym;
extern __u32 tcp_reno_undo_cwnd(struct sock* sk) __ksym;

SEC("struct_ops/ssthresh")
__u32 BPF_PROG(ssthresh, struct sock* sk) { return tcp_reno_ssthresh(sk); }

SEC("struct_ops/undo_cwnd")
__u32 BPF_PROG(undo_cwnd, struct sock* sk) { return tcp_reno_undo_cwnd(sk); }

SEC("struct_ops/cong_avoid")
void BPF_PROG(first_cong_avoid, struct sock* sk, __u32 ack, __u32 acked) {
  count(0);
  tcp_reno_cong_avoid(sk, ack, acked);
}

SEC("struct_ops/cong_avoid")
void BPF_PROG(second_cong_avoid, struct sock* sk, __u32 ack, __u32 acked) {
  count(1);
  tcp_reno_cong_avoid(sk, ack, acked);
}

SEC(".struct_ops")
struct tcp_congestion_ops first = {
    .ssthresh = (void*)ssthresh,
    .cong_avoid = (void*)first_cong_avoid,
    .undo_cwnd = (void*)undo_cwnd,
    .name = "bpfman_first",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops second = {
    .ssthresh = (void*)ssthresh,
    .cong_avoid = (void*)second_cong_avoid,
    .undo_cwnd = (void*)undo_cwnd,
    .name = "bpfman_second",
};

char LICENSE[] SEC("license") = "GPL";
