// The ceiling: what may exist on this host at all, whatever the frontend says. Here names become the kernel's numbers.
#include "broker/options.h"

#include <kj/debug.h>
#include <linux/bpf.h>

#include <algorithm>

namespace bpfman {

// clang-format off
// By number: BPF_PROG_TYPE_*.
static const char* const PROGRAM_TYPES[] = {
    "", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event", "cgroup_skb", "cgroup_sock", "lwt_in",
    "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg", "raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local",
    "lirc_mode2", "sk_reuseport", "flow_dissector", "cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing",
    "struct_ops", "ext", "lsm", "sk_lookup", "syscall", "netfilter"};
static_assert(kj::size(PROGRAM_TYPES) == BPF_PROG_TYPE_NETFILTER + 1);

// One type with powers that differ much: "tracing" is tp_btf and iterators, the others have words of their own. Iterators are always there,
// for bpfman's own overview: only its own objects have some.
constexpr struct { const char* name; uint32_t attachType; } TRACING[] = {
    {"tracing", BPF_TRACE_RAW_TP}, {"fentry", BPF_TRACE_FENTRY}, {"fexit", BPF_TRACE_FEXIT}, {"fmod_ret", BPF_MODIFY_RETURN}};
// clang-format on

#define HELPER_NAME(name, number, ...) #name,
static const std::string HELPERS[] = {___BPF_FUNC_MAPPER(HELPER_NAME)};  // by number

void allowProgramTypes(wire::Ceiling& ceiling, const std::vector<std::string>& names) {
  ceiling.attachTypes[0] = ~0ull;
  for (auto& row : TRACING) ceiling.attachTypes[0] &= ~(1ull << row.attachType);
  ceiling.programTypes = 1ull << BPF_PROG_TYPE_TRACING;
  for (auto& name : names) {
    bool known = false;
    for (auto& row : TRACING)
      if (name == row.name) known = true, ceiling.attachTypes[0] |= 1ull << row.attachType;
    for (uint32_t type = 1; type < kj::size(PROGRAM_TYPES); ++type)
      if (name == PROGRAM_TYPES[type]) known = true, ceiling.programTypes |= 1ull << type;
    if (!known) KJ_FAIL_REQUIRE(kj::str("there is no program type \"", name.c_str(), "\""));
  }
}

void refuseHelpers(wire::Ceiling& ceiling, const std::vector<std::string>& names) {
  std::ranges::fill(ceiling.refusedHelpers, 0);
  for (auto& name : names) {
    auto found = std::find(HELPERS, HELPERS + kj::size(HELPERS), name);
    if (found == HELPERS || found == HELPERS + kj::size(HELPERS))
      KJ_FAIL_REQUIRE(kj::str("there is no helper \"", name.c_str(), "\"; names are as in bpf-helpers(7), without \"bpf_\""));
    ceiling.refusedHelpers[(found - HELPERS) / 64] |= 1ull << (found - HELPERS) % 64;
  }
}

wire::Ceiling defaultCeiling() {
  wire::Ceiling ceiling{};
  ceiling.programTypes = ((2ull << BPF_PROG_TYPE_NETFILTER) - 1) & ~(1ull << BPF_PROG_TYPE_LIRC_MODE2 | 1), ceiling.attachTypes[0] = ~0ull;
  refuseHelpers(ceiling, {"probe_write_user", "override_return", "sys_bpf"});
  ceiling.mapTypes = (1ull << __MAX_BPF_MAP_TYPE) - 2;
  ceiling.maxMapBytes = 1 << 30, ceiling.maxMaps = wire::MAX_MAPS, ceiling.maxPrograms = wire::MAX_PROGRAMS, ceiling.maxSessions = 64;
  return ceiling;
}

}  // namespace bpfman
