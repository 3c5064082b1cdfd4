#include "frontend/kernel-names.h"

#include <iterator>

#include <kj/debug.h>

namespace bpfman {
namespace {

// clang-format off
constexpr const char* PROGRAM_TYPES[] = {
    "unspecified", "socketfilter", "kprobe", "schedcls", "schedact", "tracepoint", "xdp", "perfevent", "cgroupskb", "cgroupsock",
    "lwtin", "lwtout", "lwtxmit", "sockops", "skskb", "cgroupdevice", "skmsg", "rawtracepoint", "cgroupsockaddr", "lwtseg6local",
    "lircmode2", "skreuseport", "flowdissector", "cgroupsysctl", "rawtracepointwritable", "cgroupsockopt", "tracing", "structops",
    "extension", "lsm", "sklookup", "syscall", "netfilter"};

constexpr const char* MAP_TYPES[] = {
    "unspecified", "hash", "array", "programarray", "perfeventarray", "percpuhash", "percpuarray", "stacktrace", "cgrouparray",
    "lruhash", "lrucpuhash", "lpmtrie", "arrayofmaps", "hashofmaps", "devmap", "sockmap", "cpumap", "xskmap", "sockhash",
    "cgroupstorage", "reuseportsockarray", "percpucgroupstorage", "queue", "stack", "skstorage", "devmaphash", "structopsmap",
    "ringbuf", "inodestorage", "taskstorage", "bloomfilter", "userringbuf", "cgrpstorage", "arena", "insnarray"};

constexpr const char* LINK_TYPES[] = {
    "unspecified", "raw_tracepoint", "tracing", "cgroup", "iter", "netns", "xdp", "perf_event", "kprobe_multi", "struct_ops",
    "netfilter", "tcx", "uprobe_multi", "netkit", "sockmap"};

struct AttachType { const char *name, *hook; };
constexpr AttachType ATTACH_TYPES[] = {
    {"cgroupinetingress", "cgroup_skb ingress"},
    {"cgroupinetegress", "cgroup_skb egress"},
    {"cgroupinetsockcreate", "cgroup_sock create"},
    {"cgroupsockops", "cgroup_sock_ops"},
    {"skskbstreamparser", "sk_skb parser"},
    {"skskbstreamverdict", "sk_skb verdict"},
    {"cgroupdevice", "cgroup_device"},
    {"skmsgverdict", "sk_msg"},
    {"cgroupinet4bind", "cgroup_bind4"},
    {"cgroupinet6bind", "cgroup_bind6"},
    {"cgroupinet4connect", "cgroup_connect4"},
    {"cgroupinet6connect", "cgroup_connect6"},
    {"cgroupinet4postbind", "cgroup_post_bind4"},
    {"cgroupinet6postbind", "cgroup_post_bind6"},
    {"cgroupudp4sendmsg", "cgroup_sendmsg4"},
    {"cgroupudp6sendmsg", "cgroup_sendmsg6"},
    {"lircmode2", "lirc_mode2"},
    {"flowdissector", "flow_dissector"},
    {"cgroupsysctl", "cgroup_sysctl"},
    {"cgroupudp4recvmsg", "cgroup_recvmsg4"},
    {"cgroupudp6recvmsg", "cgroup_recvmsg6"},
    {"cgroupgetsockopt", "cgroup_getsockopt"},
    {"cgroupsetsockopt", "cgroup_setsockopt"},
    {"tracerawtp", "tp_btf"},
    {"tracefentry", "fentry"},
    {"tracefexit", "fexit"},
    {"modifyreturn", "fmod_ret"},
    {"lsmmac", "lsm"},
    {"traceiter", "iter"},
    {"cgroupinet4getpeername", "cgroup_getpeername4"},
    {"cgroupinet6getpeername", "cgroup_getpeername6"},
    {"cgroupinet4getsockname", "cgroup_getsockname4"},
    {"cgroupinet6getsockname", "cgroup_getsockname6"},
    {"xdpdevmap", "xdp devmap"},
    {"cgroupinetsockrelease", "cgroup_sock release"},
    {"xdpcpumap", "xdp cpumap"},
    {"sklookup", "sk_lookup"},
    {"xdp", "xdp"},
    {"skskbverdict", "sk_skb"},
    {"skreuseportselect", "sk_reuseport"},
    {"skreuseportselectormigrate", "sk_reuseport migrate"},
    {"perfevent", ""},
    {"tracekprobemulti", "kprobe.multi"},
    {"lsmcgroup", "lsm_cgroup"},
    {"structops", "struct_ops"},
    {"netfilter", "netfilter"},
    {"tcxingress", "tcx ingress"},
    {"tcxegress", "tcx egress"},
    {"traceuprobemulti", "uprobe.multi"},
    {"cgroupunixconnect", "cgroup_connect_unix"},
    {"cgroupunixsendmsg", "cgroup_sendmsg_unix"},
    {"cgroupunixrecvmsg", "cgroup_recvmsg_unix"},
    {"cgroupunixgetpeername", "cgroup_getpeername_unix"},
    {"cgroupunixgetsockname", "cgroup_getsockname_unix"},
    {"netkitprimary", "netkit primary"},
    {"netkitpeer", "netkit peer"},
    {"tracekprobesession", "kprobe.session"},
    {"traceuprobesession", "uprobe.session"},
    {"tracefsession", "fsession"},
};
// clang-format on

template <size_t n>
kj::StringPtr pick(const char* const (&table)[n], uint32_t number) {
  return number < n ? kj::StringPtr(table[number]) : kj::StringPtr("unknown");
}

int64_t nanoseconds(clockid_t clock) {
  timespec time;
  KJ_SYSCALL(clock_gettime(clock, &time));
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

kj::StringPtr programTypeName(uint32_t type) { return pick(PROGRAM_TYPES, type); }
kj::StringPtr mapTypeName(uint32_t type) { return pick(MAP_TYPES, type); }
kj::StringPtr linkTypeName(uint32_t type) { return pick(LINK_TYPES, type); }

kj::StringPtr attachTypeName(uint32_t type) {
  return type < std::size(ATTACH_TYPES) ? kj::StringPtr(ATTACH_TYPES[type].name) : kj::StringPtr("unknown");
}

kj::StringPtr attachHookName(uint32_t type) {
  return type < std::size(ATTACH_TYPES) ? kj::StringPtr(ATTACH_TYPES[type].hook) : kj::StringPtr("");
}

int64_t bootTime() { return nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_BOOTTIME); }

}  // namespace bpfman
