// One program for each kind of hook: it counts its runs and lets pass whatever it sees. Each is loaded by itself, but for a stream's parser
// and its verdict. tests/every_hook_test.py makes all of them run.
#include "examples/bpf/runs.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

#define COUNTS_IN(element, section, name, context, result) \
  SEC(section) int name(context* ctx) {                    \
    count(element);                                        \
    return result;                                         \
  }
#define COUNTS(section, name, context, result) COUNTS_IN(0, section, name, context, result)

COUNTS("xdp", xdp_, struct xdp_md, XDP_PASS)
COUNTS("xdp.frags", xdp_frags, struct xdp_md, XDP_PASS)
COUNTS("tc", tc_, struct __sk_buff, 0)
COUNTS("tcx/ingress", tcx_, struct __sk_buff, -1)
COUNTS("netkit/primary", netkit_primary, struct __sk_buff, -1)
COUNTS("sk_lookup", lookup, struct bpf_sk_lookup, 1)
COUNTS("flow_dissector", dissector, struct __sk_buff, 129)  // BPF_FLOW_DISSECTOR_CONTINUE
COUNTS("socket", socket_filter, struct __sk_buff, ctx->len)
COUNTS("lwt_in", lwt_in_, struct __sk_buff, BPF_OK)
COUNTS("lwt_out", lwt_out_, struct __sk_buff, BPF_OK)
COUNTS("lwt_xmit", lwt_xmit_, struct __sk_buff, BPF_OK)
COUNTS("lwt_seg6local", lwt_seg6local_, struct __sk_buff, BPF_OK)
COUNTS("sk_reuseport", reuseport, struct sk_reuseport_md, SK_PASS)
COUNTS("sk_reuseport/migrate", reuseport_migrate, struct sk_reuseport_md, SK_PASS)
COUNTS("sk_msg", message, struct sk_msg_md, SK_PASS)
COUNTS("sk_skb/verdict", stream, struct __sk_buff, SK_PASS)
COUNTS("sk_skb/stream_parser", parser, struct __sk_buff, ctx->len)
COUNTS_IN(1, "sk_skb/stream_verdict", verdict, struct __sk_buff, SK_PASS)

COUNTS("cgroup_skb/egress", cgroup_skb, struct __sk_buff, 1)
COUNTS("cgroup/sock_create", sock_create, struct bpf_sock, 1)
COUNTS("cgroup/sock_release", sock_release, struct bpf_sock, 1)
COUNTS("cgroup/post_bind4", post_bind4, struct bpf_sock, 1)
COUNTS("cgroup/post_bind6", post_bind6, struct bpf_sock, 1)
COUNTS("cgroup/bind4", bind4, struct bpf_sock_addr, 1)
COUNTS("cgroup/bind6", bind6, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect4", connect4, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect6", connect6, struct bpf_sock_addr, 1)
COUNTS("cgroup/connect_unix", connect_unix, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg4", sendmsg4, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg6", sendmsg6, struct bpf_sock_addr, 1)
COUNTS("cgroup/sendmsg_unix", sendmsg_unix, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg4", recvmsg4, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg6", recvmsg6, struct bpf_sock_addr, 1)
COUNTS("cgroup/recvmsg_unix", recvmsg_unix, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername4", getpeername4, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername6", getpeername6, struct bpf_sock_addr, 1)
COUNTS("cgroup/getpeername_unix", getpeername_unix, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname4", getsockname4, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname6", getsockname6, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockname_unix", getsockname_unix, struct bpf_sock_addr, 1)
COUNTS("cgroup/getsockopt", getsockopt_, struct bpf_sockopt, 1)
COUNTS("cgroup/setsockopt", setsockopt_, struct bpf_sockopt, 1)
COUNTS("cgroup/sysctl", sysctl_, struct bpf_sysctl, 1)
COUNTS("cgroup/dev", device, struct bpf_cgroup_dev_ctx, 1)
COUNTS("sockops", sockops_, struct bpf_sock_ops, 1)

COUNTS("tracepoint/syscalls/sys_enter_getppid", tracepoint, void, 0)
COUNTS("raw_tp/sys_enter", raw_tp, void, 0)
COUNTS("tp_btf/sys_enter", tp_btf, void, 0)
COUNTS("uprobe", uprobe_, void, 0)
COUNTS("uretprobe", uretprobe_, void, 0)
COUNTS("uprobe.multi", uprobe_multi, void, 0)
COUNTS("uretprobe.multi", uretprobe_multi, void, 0)
COUNTS("uprobe.session", uprobe_session, void, 0)
COUNTS("raw_tp.w/bpf_test_finish", writable, void, 0)
COUNTS("kprobe/do_nanosleep", kprobe_, void, 0)
COUNTS("kretprobe/do_nanosleep", kretprobe_, void, 0)
COUNTS("kprobe.multi/do_nanosleep", kprobe_multi, void, 0)
COUNTS("kretprobe.multi/do_nanosleep", kretprobe_multi, void, 0)
COUNTS("kprobe.session/do_nanosleep", kprobe_session, void, 0)
COUNTS("fentry/do_nanosleep", fentry_, void, 0)
COUNTS("fexit/do_nanosleep", fexit_, void, 0)
COUNTS("fmod_ret/security_file_open", fmod_ret, void, 0)
COUNTS("lsm/file_open", lsm, void, 0)
COUNTS("lsm.s/file_open", lsm_s, void, 0)
COUNTS("lsm_cgroup/socket_bind", lsm_cgroup, void, 1)
COUNTS("perf_event", event, void, 0)

// The kernel's own struct, as far as it is read here.
struct bpf_nf_ctx;
SEC("netfilter") int netfilter_(struct bpf_nf_ctx* ctx) {
  count(0);
  return 1;  // NF_ACCEPT
}

struct bpf_iter_meta {
  struct seq_file* seq;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
} __attribute__((preserve_access_index));
struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  void* key;
  __u64* value;
};

SEC("iter/bpf_map_elem") int seven(struct bpf_iter__bpf_map_elem* ctx) {
  count(2);  // which there is not: that the map is one of this program's
  if (ctx->value) *ctx->value = 7;
  return 0;
}

SEC("iter/task") int iterator(struct bpf_iter__task* ctx) {
  if (ctx->task) BPF_SEQ_PRINTF(ctx->meta->seq, "x");
  count(0);
  return 0;
}

struct sum {
  __u64 first, second, sum;
};

SEC("syscall") int syscall_(struct sum* context) {
  context->sum = context->first + context->second;
  count(0);
  return -7;
}

static long nothing(__u32 number, void* context) { return 0; }
static long manyTimes(__u32 number, void* context) { return bpf_loop(1 << 23, nothing, 0, 0) < 0; }

SEC("syscall") int syscall_slow(struct sum* context) { return bpf_loop(context->first, manyTimes, 0, 0); }

char LICENSE[] SEC("license") = "GPL";
