// One program for each kind of hook, each counting its runs in an element of its own and letting pass whatever it sees.
// tests/every_hook_test.py makes each of them run.
#include "examples/bpf/common.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

enum { RUNS = 64 };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, RUNS);
  __type(key, __u32);
  __type(value, __u64);
} runs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

// The number of a program's counter is the line's place in this list, which the test has as well.
enum counter {
  NETKIT,
  NETFILTER,
  SK_LOOKUP,
  FLOW_DISSECTOR,
  SK_MSG,
  SK_SKB,
  SK_SKB_PARSER,
  SK_SKB_VERDICT,
  CGROUP_SKB,
  SOCK_CREATE,
  SOCK_RELEASE,
  POST_BIND4,
  POST_BIND6,
  BIND4,
  BIND6,
  CONNECT4,
  CONNECT6,
  CONNECT_UNIX,
  SENDMSG4,
  SENDMSG6,
  SENDMSG_UNIX,
  RECVMSG4,
  RECVMSG6,
  RECVMSG_UNIX,
  GETPEERNAME4,
  GETPEERNAME6,
  GETPEERNAME_UNIX,
  GETSOCKNAME4,
  GETSOCKNAME6,
  GETSOCKNAME_UNIX,
  GETSOCKOPT,
  SETSOCKOPT,
  SYSCTL,
  DEVICE,
  SOCKOPS,
  RAW_TP_W,
  KPROBE,
  KRETPROBE,
  KPROBE_MULTI,
  KRETPROBE_MULTI,
  KPROBE_SESSION,
  FENTRY,
  FEXIT,
  FMOD_RET,
  LSM,
  LSM_S,
  LSM_CGROUP,
  PERF_EVENT,
  ITERATOR,
};

static __always_inline void count(__u32 counter) {
  __u64* value = bpf_map_lookup_elem(&runs, &counter);
  if (value) __sync_fetch_and_add(value, 1);
}

#define COUNTS(section, name, counter, context, result) \
  SEC(section) int name(context* ctx) {                 \
    count(counter);                                     \
    return result;                                      \
  }

COUNTS("netkit/primary", netkit_primary, NETKIT, struct __sk_buff, -1)
COUNTS("sk_lookup", lookup, SK_LOOKUP, struct bpf_sk_lookup, 1)
COUNTS("flow_dissector", dissector, FLOW_DISSECTOR, struct __sk_buff, 129)  // BPF_FLOW_DISSECTOR_CONTINUE
COUNTS("sk_msg", message, SK_MSG, struct sk_msg_md, SK_PASS)
COUNTS("sk_skb/verdict", stream, SK_SKB, struct __sk_buff, SK_PASS)
COUNTS("sk_skb/stream_parser", parser, SK_SKB_PARSER, struct __sk_buff, ctx->len)
COUNTS("sk_skb/stream_verdict", verdict, SK_SKB_VERDICT, struct __sk_buff, SK_PASS)

COUNTS("cgroup_skb/egress", cgroup_skb, CGROUP_SKB, struct __sk_buff, 1)
COUNTS("cgroup/sock_create", sock_create, SOCK_CREATE, struct bpf_sock, 1)
COUNTS("cgroup/sock_release", sock_release, SOCK_RELEASE, struct bpf_sock, 1)
COUNTS("cgroup/post_bind4", post_bind4, POST_BIND4, struct bpf_sock, 1)
COUNTS("cgroup/post_bind6", post_bind6, POST_BIND6, struct bpf_sock, 1)
COUNTS("cgroup/bind4", bind4, BIND4, struct bpf_sock_addr, 1)
COUNTS("cgroup/bind6", bind6, BIND6, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect4", connect4, CONNECT4, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect6", connect6, CONNECT6, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect_unix", connect_unix, CONNECT_UNIX, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg4", sendmsg4, SENDMSG4, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg6", sendmsg6, SENDMSG6, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg_unix", sendmsg_unix, SENDMSG_UNIX, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg4", recvmsg4, RECVMSG4, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg6", recvmsg6, RECVMSG6, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg_unix", recvmsg_unix, RECVMSG_UNIX, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername4", getpeername4, GETPEERNAME4, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername6", getpeername6, GETPEERNAME6, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername_unix", getpeername_unix, GETPEERNAME_UNIX, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname4", getsockname4, GETSOCKNAME4, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname6", getsockname6, GETSOCKNAME6, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname_unix", getsockname_unix, GETSOCKNAME_UNIX, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockopt", getsockopt_, GETSOCKOPT, struct bpf_sockopt, 1)
COUNTS("cgroup/setsockopt", setsockopt_, SETSOCKOPT, struct bpf_sockopt, 1)
COUNTS("cgroup/sysctl", sysctl_, SYSCTL, struct bpf_sysctl, 1)
COUNTS("cgroup/dev", device, DEVICE, struct bpf_cgroup_dev_ctx, 1)
COUNTS("sockops", sockops_, SOCKOPS, struct bpf_sock_ops, 1)

COUNTS("raw_tp.w/bpf_test_finish", writable, RAW_TP_W, void, 0)
COUNTS("kprobe/do_nanosleep", kprobe_, KPROBE, void, 0)
COUNTS("kretprobe/do_nanosleep", kretprobe_, KRETPROBE, void, 0)
COUNTS("kprobe.multi/do_nanosleep", kprobe_multi, KPROBE_MULTI, void, 0)
COUNTS("kretprobe.multi/do_nanosleep", kretprobe_multi, KRETPROBE_MULTI, void, 0)
COUNTS("kprobe.session/do_nanosleep", kprobe_session, KPROBE_SESSION, void, 0)
COUNTS("fentry/do_nanosleep", fentry_, FENTRY, void, 0)
COUNTS("fexit/do_nanosleep", fexit_, FEXIT, void, 0)
COUNTS("fmod_ret/security_file_open", fmod_ret, FMOD_RET, void, 0)
COUNTS("lsm/file_open", lsm, LSM, void, 0)
COUNTS("lsm.s/file_open", lsm_s, LSM_S, void, 0)
COUNTS("lsm_cgroup/socket_bind", lsm_cgroup, LSM_CGROUP, void, 1)
COUNTS("perf_event", event, PERF_EVENT, void, 0)

// The kernel's own struct, as far as it is read here.
struct bpf_nf_ctx;
SEC("netfilter") int netfilter_(struct bpf_nf_ctx* ctx) {
  count(NETFILTER);
  return 1;  // NF_ACCEPT
}

struct bpf_iter_meta {
  struct seq_file* seq;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
} __attribute__((preserve_access_index));
SEC("iter/task") int iterator(struct bpf_iter__task* ctx) {
  if (ctx->task) BPF_SEQ_PRINTF(ctx->meta->seq, "x");
  count(ITERATOR);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
