#include "schema/program-types.h"

#include <algorithm>

#include <kj/vector.h>

#include "schema/kernel-numbers.h"

namespace bpfman {
namespace {

using T = schema::ProgramType;
using P = schema::Place;
using C = ProgramClass;
using K = TargetKind;

// clang-format off
constexpr ProgramTypeRow TYPES[] = {
    // network: what an interface, a network namespace or a socket map sees
    {T::XDP, "xdp"_kj, BPF_PROG_TYPE_XDP, BPF_XDP, P::XDP, C::network, K::interface},
    {T::TC, "tc"_kj, BPF_PROG_TYPE_SCHED_CLS, 0, P::TC, C::network, K::interface},
    {T::TCX, "tcx"_kj, BPF_PROG_TYPE_SCHED_CLS, 0, P::TCX, C::network, K::interface, "Linux 6.6"_kj, "tcx_link_attach"_kj},
    {T::NETKIT, "netkit"_kj, BPF_PROG_TYPE_SCHED_CLS, 0, P::NETKIT, C::network, K::interface, "Linux 6.7 with CONFIG_NETKIT"_kj, "netkit_link_attach"_kj},
    {T::NETFILTER, "netfilter"_kj, BPF_PROG_TYPE_NETFILTER, BPF_NETFILTER, P::NETFILTER, C::network, K::netns, "Linux 6.4 with CONFIG_NETFILTER_BPF_LINK"_kj},
    {T::SK_LOOKUP, "sk_lookup"_kj, BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, P::NETNS, C::network, K::netns},
    {T::FLOW_DISSECTOR, "flow_dissector"_kj, BPF_PROG_TYPE_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR, P::NETNS, C::network, K::netns},
    {T::SK_MSG, "sk_msg"_kj, BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT, P::SOCKETS, C::network, K::map, "Linux 6.10"_kj, "sock_map_link_create"_kj},
    {T::SK_SKB, "sk_skb"_kj, BPF_PROG_TYPE_SK_SKB, BPF_SK_SKB_VERDICT, P::SOCKETS, C::network, K::map, "Linux 6.10"_kj, "sock_map_link_create"_kj},
    {T::SK_SKB_PARSER, "sk_skb_parser"_kj, BPF_PROG_TYPE_SK_SKB, BPF_SK_SKB_STREAM_PARSER, P::SOCKETS, C::network, K::map, "Linux 6.10"_kj, "sock_map_link_create"_kj},
    {T::SK_SKB_VERDICT, "sk_skb_verdict"_kj, BPF_PROG_TYPE_SK_SKB, BPF_SK_SKB_STREAM_VERDICT, P::SOCKETS, C::network, K::map, "Linux 6.10"_kj, "sock_map_link_create"_kj},
    {T::SOCKET_FILTER, "socket_filter"_kj, BPF_PROG_TYPE_SOCKET_FILTER, 0, P::ELSEWHERE, C::network, K::none},
    {T::SK_REUSEPORT, "sk_reuseport"_kj, BPF_PROG_TYPE_SK_REUSEPORT, BPF_SK_REUSEPORT_SELECT, P::ELSEWHERE, C::network, K::none},
    {T::SK_REUSEPORT_MIGRATE, "sk_reuseport.migrate"_kj, BPF_PROG_TYPE_SK_REUSEPORT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, P::ELSEWHERE, C::network, K::none},
    {T::LWT_IN, "lwt_in"_kj, BPF_PROG_TYPE_LWT_IN, 0, P::ELSEWHERE, C::network, K::none, "CONFIG_LWTUNNEL_BPF"_kj, "bpf_build_state"_kj},
    {T::LWT_OUT, "lwt_out"_kj, BPF_PROG_TYPE_LWT_OUT, 0, P::ELSEWHERE, C::network, K::none, "CONFIG_LWTUNNEL_BPF"_kj, "bpf_build_state"_kj},
    {T::LWT_XMIT, "lwt_xmit"_kj, BPF_PROG_TYPE_LWT_XMIT, 0, P::ELSEWHERE, C::network, K::none, "CONFIG_LWTUNNEL_BPF"_kj, "bpf_build_state"_kj},
    {T::LWT_SEG6LOCAL, "lwt_seg6local"_kj, BPF_PROG_TYPE_LWT_SEG6LOCAL, 0, P::ELSEWHERE, C::network, K::none, "CONFIG_IPV6_SEG6_BPF"_kj, "input_action_end_bpf"_kj},

    // cgroup: what processes in a cgroup do
    {T::CGROUP_SKB, "cgroup_skb"_kj, BPF_PROG_TYPE_CGROUP_SKB, 0, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SOCK_CREATE, "cgroup_sock_create"_kj, BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SOCK_RELEASE, "cgroup_sock_release"_kj, BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_RELEASE, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_POST_BIND4, "cgroup_post_bind4"_kj, BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET4_POST_BIND, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_POST_BIND6, "cgroup_post_bind6"_kj, BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET6_POST_BIND, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_BIND4, "cgroup_bind4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_BIND6, "cgroup_bind6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_BIND, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_CONNECT4, "cgroup_connect4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_CONNECT6, "cgroup_connect6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_CONNECT_UNIX, "cgroup_connect_unix"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UNIX_CONNECT, P::CGROUP, C::cgroup, K::cgroup, "Linux 6.7"_kj},
    {T::CGROUP_SENDMSG4, "cgroup_sendmsg4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SENDMSG6, "cgroup_sendmsg6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_SENDMSG, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SENDMSG_UNIX, "cgroup_sendmsg_unix"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UNIX_SENDMSG, P::CGROUP, C::cgroup, K::cgroup, "Linux 6.7"_kj},
    {T::CGROUP_RECVMSG4, "cgroup_recvmsg4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_RECVMSG, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_RECVMSG6, "cgroup_recvmsg6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_RECVMSG, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_RECVMSG_UNIX, "cgroup_recvmsg_unix"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UNIX_RECVMSG, P::CGROUP, C::cgroup, K::cgroup, "Linux 6.7"_kj},
    {T::CGROUP_GETPEERNAME4, "cgroup_getpeername4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_GETPEERNAME6, "cgroup_getpeername6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_GETPEERNAME, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_GETPEERNAME_UNIX, "cgroup_getpeername_unix"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UNIX_GETPEERNAME, P::CGROUP, C::cgroup, K::cgroup, "Linux 6.7"_kj},
    {T::CGROUP_GETSOCKNAME4, "cgroup_getsockname4"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETSOCKNAME, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_GETSOCKNAME6, "cgroup_getsockname6"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_GETSOCKNAME, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_GETSOCKNAME_UNIX, "cgroup_getsockname_unix"_kj, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UNIX_GETSOCKNAME, P::CGROUP, C::cgroup, K::cgroup, "Linux 6.7"_kj},
    {T::CGROUP_GETSOCKOPT, "cgroup_getsockopt"_kj, BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SETSOCKOPT, "cgroup_setsockopt"_kj, BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_SETSOCKOPT, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_SYSCTL, "cgroup_sysctl"_kj, BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL, P::CGROUP, C::cgroup, K::cgroup},
    {T::CGROUP_DEVICE, "cgroup_device"_kj, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE, P::CGROUP, C::cgroup, K::cgroup},
    {T::SOCK_OPS, "sockops"_kj, BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, P::CGROUP, C::cgroup, K::cgroup},

    // observe
    {T::TRACEPOINT, "tracepoint"_kj, BPF_PROG_TYPE_TRACEPOINT, 0, P::TRACEPOINT, C::observe, K::none},
    {T::RAW_TRACEPOINT, "raw_tp"_kj, BPF_PROG_TYPE_RAW_TRACEPOINT, 0, P::RAW_TRACEPOINT, C::observe, K::none},
    {T::TP_BTF, "tp_btf"_kj, BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, P::TP_BTF, C::observe, K::none},
    {T::KPROBE, "kprobe"_kj, BPF_PROG_TYPE_KPROBE, 0, P::KPROBE, C::observe, K::none, "CONFIG_KPROBES"_kj, "register_kprobe"_kj},
    {T::KRETPROBE, "kretprobe"_kj, BPF_PROG_TYPE_KPROBE, 0, P::KPROBE, C::observe, K::none, "CONFIG_KPROBES"_kj, "register_kretprobe"_kj},
    {T::KPROBE_MULTI, "kprobe.multi"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, P::KPROBE_MULTI, C::observe, K::none, "CONFIG_FPROBE"_kj, "register_fprobe_ips"_kj},
    {T::KRETPROBE_MULTI, "kretprobe.multi"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, P::KPROBE_MULTI, C::observe, K::none, "CONFIG_FPROBE"_kj, "register_fprobe_ips"_kj},
    {T::KPROBE_SESSION, "kprobe.session"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_SESSION, P::KPROBE_MULTI, C::observe, K::none, "Linux 6.10 with CONFIG_FPROBE"_kj, "register_fprobe_ips bpf_session_is_return"_kj},
    {T::UPROBE, "uprobe"_kj, BPF_PROG_TYPE_KPROBE, 0, P::UPROBE, C::observe, K::binary},
    {T::URETPROBE, "uretprobe"_kj, BPF_PROG_TYPE_KPROBE, 0, P::UPROBE, C::observe, K::binary},
    {T::UPROBE_MULTI, "uprobe.multi"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI, P::UPROBE_MULTI, C::observe, K::binary, "Linux 6.6"_kj, "bpf_uprobe_multi_link_attach"_kj},
    {T::URETPROBE_MULTI, "uretprobe.multi"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI, P::UPROBE_MULTI, C::observe, K::binary, "Linux 6.6"_kj, "bpf_uprobe_multi_link_attach"_kj},
    {T::UPROBE_SESSION, "uprobe.session"_kj, BPF_PROG_TYPE_KPROBE, UPROBE_SESSION, P::UPROBE_MULTI, C::observe, K::binary, "Linux 6.13"_kj, "uprobe_free_srcu"_kj},
    {T::USDT, "usdt"_kj, BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI, P::UPROBE_MULTI, C::observe, K::binary, "Linux 6.6"_kj, "bpf_uprobe_multi_link_attach"_kj},
    {T::FENTRY, "fentry"_kj, BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, P::FIXED, C::observe, K::none},
    {T::FEXIT, "fexit"_kj, BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, P::FIXED, C::observe, K::none},
    {T::PERF_EVENT, "perf_event"_kj, BPF_PROG_TYPE_PERF_EVENT, 0, P::PERF_EVENT, C::observe, K::none},
    {T::ITERATOR, "iter"_kj, BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, P::ITERATOR, C::observe, K::none},

    // control: they decide what the kernel does
    {T::RAW_TRACEPOINT_WRITABLE, "raw_tp.w"_kj, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0, P::RAW_TRACEPOINT, C::control, K::none},
    {T::FMOD_RET, "fmod_ret"_kj, BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, P::FIXED, C::control, K::none},
    {T::STRUCT_OPS, "struct_ops"_kj, BPF_PROG_TYPE_STRUCT_OPS, 0, P::STRUCT_OPS, C::control, K::none, "Linux 6.4"_kj, "bpf_struct_ops_link_create"_kj},
    {T::SYSCALL, "syscall"_kj, BPF_PROG_TYPE_SYSCALL, 0, P::ELSEWHERE, C::control, K::none},
    {T::LSM, "lsm"_kj, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, P::FIXED, C::control, K::none},
    {T::LSM_CGROUP, "lsm_cgroup"_kj, BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, P::CGROUP, C::control, K::cgroup},
};
// clang-format on

constexpr kj::StringPtr CLASS_NAMES[] = {"network"_kj, "cgroup"_kj, "observe"_kj, "control"_kj};
static_assert(kj::size(CLASS_NAMES) == unsigned(C::count));

}  // namespace

std::span<const ProgramTypeRow> programTypes() { return TYPES; }

kj::Maybe<const ProgramTypeRow&> rowOf(T type) {
  for (auto& row : TYPES)
    if (row.type == type) return row;
  return nullptr;
}

kj::Maybe<T> typeNamed(kj::StringPtr name) {
  if (name == "raw_tracepoint") return T::RAW_TRACEPOINT;
  for (auto& row : TYPES)
    if (row.name == name) return row.type;
  return nullptr;
}

ProgramClass classOf(T type) {
  KJ_IF_MAYBE (row, rowOf(type)) return row->programClass;
  return C::control;
}

TargetKind targetOf(T type) {
  KJ_IF_MAYBE (row, rowOf(type)) return row->target;
  return K::none;
}

kj::StringPtr typeName(T type) {
  KJ_IF_MAYBE (row, rowOf(type)) return row->name;
  return "unknown"_kj;
}

kj::StringPtr className(ProgramClass programClass) { return CLASS_NAMES[unsigned(programClass)]; }

kj::String typesAt(P::Which place) {
  kj::Vector<kj::StringPtr> names;
  for (auto& row : TYPES)
    if (row.place == place) names.add(row.name);
  return kj::strArray(names, " or ");
}

TypeSet setOf(std::initializer_list<T> types) {
  TypeSet set;
  for (T type : types) set.set(static_cast<size_t>(type));
  return set;
}

}  // namespace bpfman
