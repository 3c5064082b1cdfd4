// The ceiling: what may exist on this host at all, whatever the frontend says. Here names become the kernel's numbers.
#include "broker/options.h"

#include <kj/debug.h>
#include <linux/bpf.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace bpfman {

namespace {

struct ProgramTypeName {
  const char* name;
  uint32_t type;
  std::initializer_list<uint32_t> attachTypes;  // besides 0, which is what types without any have
};

const ProgramTypeName PROGRAM_TYPES[] = {
    {"xdp", BPF_PROG_TYPE_XDP, {BPF_XDP, BPF_XDP_DEVMAP, BPF_XDP_CPUMAP}},
    {"sched_cls", BPF_PROG_TYPE_SCHED_CLS, {BPF_TCX_INGRESS, BPF_TCX_EGRESS, BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER}},
    {"tracepoint", BPF_PROG_TYPE_TRACEPOINT, {BPF_PERF_EVENT}},
    {"raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, {}},
    {"tracing", BPF_PROG_TYPE_TRACING, {BPF_TRACE_RAW_TP, BPF_TRACE_ITER}},
    {"fentry", BPF_PROG_TYPE_TRACING, {BPF_TRACE_FENTRY}},
    {"fexit", BPF_PROG_TYPE_TRACING, {BPF_TRACE_FEXIT}},
    {"fmod_ret", BPF_PROG_TYPE_TRACING, {BPF_MODIFY_RETURN}},
    {"kprobe", BPF_PROG_TYPE_KPROBE, {BPF_PERF_EVENT, BPF_TRACE_KPROBE_MULTI, BPF_TRACE_UPROBE_MULTI}},
    {"perf_event", BPF_PROG_TYPE_PERF_EVENT, {BPF_PERF_EVENT}},
    {"raw_tracepoint_writable", BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, {}},
    {"socket_filter", BPF_PROG_TYPE_SOCKET_FILTER, {}},
    {"sched_act", BPF_PROG_TYPE_SCHED_ACT, {}},
    {"cgroup_skb", BPF_PROG_TYPE_CGROUP_SKB, {BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS}},
    {"cgroup_sock", BPF_PROG_TYPE_CGROUP_SOCK,
     {BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_POST_BIND, BPF_CGROUP_INET6_POST_BIND}},
    {"cgroup_sock_addr", BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
     {BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_UDP4_SENDMSG,
      BPF_CGROUP_UDP6_SENDMSG, BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG}},
    {"cgroup_device", BPF_PROG_TYPE_CGROUP_DEVICE, {BPF_CGROUP_DEVICE}},
    {"cgroup_sysctl", BPF_PROG_TYPE_CGROUP_SYSCTL, {BPF_CGROUP_SYSCTL}},
    {"cgroup_sockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, {BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT}},
    {"sock_ops", BPF_PROG_TYPE_SOCK_OPS, {BPF_CGROUP_SOCK_OPS}},
    {"sk_skb", BPF_PROG_TYPE_SK_SKB, {BPF_SK_SKB_STREAM_PARSER, BPF_SK_SKB_STREAM_VERDICT, BPF_SK_SKB_VERDICT}},
    {"sk_msg", BPF_PROG_TYPE_SK_MSG, {BPF_SK_MSG_VERDICT}},
    {"sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, {BPF_SK_LOOKUP}},
    {"sk_reuseport", BPF_PROG_TYPE_SK_REUSEPORT, {BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE}},
    {"flow_dissector", BPF_PROG_TYPE_FLOW_DISSECTOR, {BPF_FLOW_DISSECTOR}},
    {"lwt_in", BPF_PROG_TYPE_LWT_IN, {}},
    {"lwt_out", BPF_PROG_TYPE_LWT_OUT, {}},
    {"lwt_xmit", BPF_PROG_TYPE_LWT_XMIT, {}},
    {"lwt_seg6local", BPF_PROG_TYPE_LWT_SEG6LOCAL, {}},
    {"lirc_mode2", BPF_PROG_TYPE_LIRC_MODE2, {BPF_LIRC_MODE2}},
    {"netfilter", BPF_PROG_TYPE_NETFILTER, {BPF_NETFILTER}},
    {"ext", BPF_PROG_TYPE_EXT, {}},
    {"lsm", BPF_PROG_TYPE_LSM, {BPF_LSM_MAC, BPF_LSM_CGROUP}},
    {"struct_ops", BPF_PROG_TYPE_STRUCT_OPS, {BPF_STRUCT_OPS}},
};

#define HELPER_NAME(name, number, ...) #name,
const char* const HELPERS[] = {___BPF_FUNC_MAPPER(HELPER_NAME)};  // by number
#undef HELPER_NAME

void set(kj::ArrayPtr<uint64_t> bits, uint32_t bit) { bits[bit / 64] |= 1ull << (bit % 64); }

void allow(wire::Ceiling& ceiling, const ProgramTypeName& row) {
  set({&ceiling.programTypes, 1}, row.type);
  for (uint32_t attachType : row.attachTypes) set(ceiling.attachTypes, attachType);
}

}  // namespace

void allowProgramTypes(wire::Ceiling& ceiling, kj::ArrayPtr<const kj::StringPtr> names) {
  ceiling.programTypes = ceiling.attachTypes[1] = 0;
  ceiling.attachTypes[0] = 1;
  // bpfman's own overview, always: iterators read, and only the frontend's own objects have them.
  allow(ceiling, {"iter", BPF_PROG_TYPE_TRACING, {BPF_TRACE_ITER}});
  for (kj::StringPtr name : names) {
    bool known = false;
    for (const ProgramTypeName& row : PROGRAM_TYPES)
      if (name == row.name) {
        known = true;
        allow(ceiling, row);
      }
    if (!known) KJ_FAIL_REQUIRE(kj::str("there is no program type \"", name, "\""));
  }
}

void refuseHelpers(wire::Ceiling& ceiling, kj::ArrayPtr<const kj::StringPtr> names) {
  memset(ceiling.refusedHelpers, 0, sizeof ceiling.refusedHelpers);
  for (kj::StringPtr name : names) {
    char* end;
    uint64_t number = strtoull(name.cStr(), &end, 10);
    if (end == name.cStr() || *end)
      for (number = 0; number < kj::size(HELPERS) && name != HELPERS[number];) ++number;
    if (number == 0 || number >= 512 || (*end && number == kj::size(HELPERS)))
      KJ_FAIL_REQUIRE(kj::str("there is no helper \"", name, "\"; names are as in bpf-helpers(7), without \"bpf_\""));
    set(ceiling.refusedHelpers, number);
  }
}

wire::Ceiling defaultCeiling() {
  wire::Ceiling ceiling{};
  const kj::StringPtr types[] = {"xdp", "sched_cls", "tracepoint", "raw_tracepoint", "tracing"};
  allowProgramTypes(ceiling, types);
  const kj::StringPtr helpers[] = {"probe_write_user", "override_return", "sys_bpf"};
  refuseHelpers(ceiling, helpers);
  ceiling.mapTypes = ((1ull << __MAX_BPF_MAP_TYPE) - 2) & ~(1ull << BPF_MAP_TYPE_STRUCT_OPS);
  ceiling.maxMapBytes = 1 << 30;
  ceiling.maxMaps = 256;
  ceiling.maxPrograms = 64;
  ceiling.maxSessions = 64;
  return ceiling;
}

uint32_t countCpus(kj::StringPtr list) {
  uint32_t count = 0;
  for (const char* at = list.cStr(); *at >= '0' && *at <= '9';) {
    char* end;
    uint32_t first = strtoul(at, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
    count += last - first + 1;
    at = *end == ',' ? end + 1 : end;
  }
  KJ_REQUIRE(count > 0 && count < 1 << 16, "the kernel's list of possible CPUs", list);
  return count;
}

}  // namespace bpfman
