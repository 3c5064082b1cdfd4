// Links: made from pinned programs, pinned at once. Their only reference at rest is the pin.
#include "worker/operations.h"
#include "worker/pins.h"

#include "schema/kernel-numbers.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

namespace bpfman {

using wire::Kind;
using wire::LinkKind;

namespace {

constexpr uint32_t ANCHORS = BPF_F_BEFORE | BPF_F_AFTER | BPF_F_ID | BPF_F_LINK, MAX_PLACES = 4096;
constexpr uint64_t ON_INTERFACE = anyOf(BPF_TCX_INGRESS, BPF_TCX_EGRESS, BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER);
constexpr uint64_t SOCKETS = anyOf(BPF_SK_SKB_STREAM_PARSER, BPF_SK_SKB_STREAM_VERDICT, BPF_SK_SKB_VERDICT, BPF_SK_MSG_VERDICT);
constexpr uint64_t TRACING = anyOf(BPF_TRACE_RAW_TP, BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN, BPF_LSM_MAC);
constexpr uint64_t PROBES = anyOf(BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION), NETNS = anyOf(BPF_SK_LOOKUP, BPF_FLOW_DISSECTOR);
constexpr uint64_t OTHERS =
    anyOf(BPF_XDP, BPF_XDP_DEVMAP, BPF_XDP_CPUMAP, BPF_PERF_EVENT, BPF_TRACE_ITER, BPF_NETFILTER, BPF_LIRC_MODE2, BPF_STRUCT_OPS,
          BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, BPF_TRACE_UPROBE_MULTI, UPROBE_SESSION);
constexpr uint64_t CGROUP = (anyOf(__MAX_BPF_ATTACH_TYPE) - 1) & ~(ON_INTERFACE | SOCKETS | TRACING | PROBES | NETNS | OTHERS);

// By LinkKind: what each may be attached as. A raw tracepoint and an extension have no such type.
// clang-format off
constexpr uint64_t ATTACH_TYPES[] = {
    anyOf(BPF_XDP), ON_INTERFACE, anyOf(BPF_PERF_EVENT), ~0ull, TRACING, anyOf(BPF_TRACE_ITER), anyOf(0), CGROUP, NETNS, anyOf(BPF_NETFILTER),
    SOCKETS, anyOf(BPF_STRUCT_OPS), PROBES, anyOf(BPF_TRACE_UPROBE_MULTI, UPROBE_SESSION)};
// clang-format on
static_assert(std::size(ATTACH_TYPES) == static_cast<size_t>(LinkKind::count));

// What the kernel wants for each kind. False: the request has what its kind does not take. names: pointers into the request. binary: a
// path.
bool fill(const wire::CreateLink& wish, Request& request, std::vector<uint64_t>& names, Path& binary, bpf_attr& attr) {
  bool takesDescriptor = wish.kind == LinkKind::perfEvent || wish.kind == LinkKind::cgroup || wish.kind == LinkKind::netns ||
                         wish.kind == LinkKind::uprobeMulti;
  if (wish.kind >= LinkKind::count || !covers(&ATTACH_TYPES[static_cast<size_t>(wish.kind)], 1, wish.attachType) ||
      takesDescriptor != (request.descriptorCount == 1) || (wish.kind < LinkKind::kprobeMulti && !request.tail().empty()))
    return false;
  attr.link_create.attach_type = wish.attachType, attr.link_create.flags = wish.flags;
  attr.link_create.target_fd = takesDescriptor ? request.descriptors[0].get() : wish.interface;  // or target_ifindex, the same field
  std::span<const uint8_t> tail = request.tail();
  switch (wish.kind) {
    case LinkKind::xdp: return wish.flags < 16;
    case LinkKind::tcx:
    case LinkKind::cgroup:  // without BPF_F_ID the number would be a descriptor. cgroups have the same fields
      attr.link_create.tcx.relative_id = wish.relative, attr.link_create.tcx.expected_revision = wish.expectedRevision;
      return !(wish.flags & ~ANCHORS) && (wish.relative == 0 || (wish.flags & BPF_F_ID));
    case LinkKind::freplace: attr.link_create.target_btf_id = wish.relative; return wish.relative != 0 && wish.flags == 0;
    case LinkKind::netfilter:
      attr.link_create.flags = 0, attr.link_create.netfilter = {wish.family, wish.hook, wish.priority, wish.flags};
      return !(wish.flags & ~BPF_F_NETFILTER_IP_DEFRAG) && wish.interface == 0;
    case LinkKind::kprobeMulti:
      for (size_t i = 0; i < tail.size() && tail.back() == 0; i += strlen(reinterpret_cast<const char*>(&tail[i])) + 1)
        names.push_back(toKernel(&tail[i]));
      attr.link_create.flags = 0, attr.link_create.kprobe_multi.flags = wish.flags;
      attr.link_create.kprobe_multi.syms = toKernel(names.data()), attr.link_create.kprobe_multi.cnt = names.size();
      return !names.empty() && names.size() <= MAX_PLACES && !(wish.flags & ~BPF_F_KPROBE_MULTI_RETURN) && wish.interface == 0;
    case LinkKind::uprobeMulti: {
      size_t count = tail.size() / 24;
      snprintf(binary.text, sizeof binary.text, "fds/%d", request.descriptors[0].get());  // what the broker mounted there are our own
      attr.link_create.target_fd = attr.link_create.flags = 0;
      auto& places = attr.link_create.uprobe_multi;
      places.path = toKernel(binary.text), places.cnt = count, places.flags = wish.flags, places.pid = wish.relative;
      places.offsets = toKernel(tail.data()), places.ref_ctr_offsets = places.offsets + 8 * count;
      places.cookies = places.ref_ctr_offsets + 8 * count;
      return count > 0 && count <= MAX_PLACES && tail.size() == 24 * count && !(wish.flags & ~BPF_F_UPROBE_MULTI_RETURN);
    }
    case LinkKind::rawTracepoint:
      attr = {}, attr.raw_tracepoint.name = toKernel(wish.name);
      return strnlen(wish.name, sizeof wish.name) < sizeof wish.name;
    default: return wish.flags == 0 && wish.interface == 0;
  }
}

// The object of ours that the link is made to.
Fd openTarget(Context& context, const wire::CreateLink& wish) {
  if (wish.kind == LinkKind::freplace) return openProgram(context.bpf, wish.target);
  if (kindOf(wish.target) != Kind::map) die("link to what is no map");
  return context.bpf.open(pathOf(wish.target).text, wish.kind == LinkKind::iterator ? BPF_F_RDONLY : 0);
}

}  // namespace

Answer answerCreateLink(Context& context, Request& request) {
  auto wish = request.as<wire::CreateLink>();
  bpf_attr attr{};
  bpf_iter_link_info over{};
  std::vector<uint64_t> names;
  Path binary;
  if (kindOf(wish.to) != Kind::link || !fill(wish, request, names, binary, attr)) die("malformed link");
  bool raw = wish.kind == LinkKind::rawTracepoint, iterator = wish.kind == LinkKind::iterator, freplace = wish.kind == LinkKind::freplace;
  if (!raw && !covers(context.ceiling.attachTypes, 2, wish.attachType)) return -EPERM;

  Path path = pathOf(wish.to);
  Fd program = wish.kind == LinkKind::structOps ? openTarget(context, wish) : openProgram(context.bpf, wish.program), target;
  if (!program) return program.error();
  if (freplace || wish.kind == LinkKind::sockets || (iterator && wish.target.name[0])) {  // an iterator may run over no map
    target = openTarget(context, wish);
    if (!target) return target.error();
    if (iterator)
      over.map.map_fd = target.get(), attr.link_create.iter_info = toKernel(&over), attr.link_create.iter_info_len = sizeof over;
    else
      attr.link_create.target_fd = target.get();
  }
  (raw ? attr.raw_tracepoint.prog_fd : attr.link_create.prog_fd) = program.get();
  Fd link(context.bpf.call(raw ? BPF_RAW_TRACEPOINT_OPEN : BPF_LINK_CREATE, attr));
  if (!link) return link.error();
  if (freplace) context.bpf.makeDirectory(directoryOf(wish.to).text);     // of a dispatcher; if it can't be made, pinning says so
  if (int error = context.bpf.pin(link, path.text); error) return error;  // closing the descriptor undoes the attachment
  bpf_link_info info{};
  if (int error = context.bpf.info(link, &info, sizeof info); error) return error;
  return info.id;
}

Answer answerUpdateLink(Context& context, Request& request) {
  auto wish = request.as<wire::UpdateLink>();
  if (kindOf(wish.link) != Kind::link) die("malformed update of a link");
  Fd link = context.bpf.open(pathOf(wish.link).text), program = openProgram(context.bpf, wish.program);
  if (!link || !program) return link ? program.error() : link.error();
  bpf_attr attr{};
  attr.link_update.link_fd = link.get(), attr.link_update.new_prog_fd = program.get();
  return context.bpf.call(BPF_LINK_UPDATE, attr);
}

Answer answerQuery(Context& context, Request& request) {
  auto wish = request.as<wire::Query>();
  uint32_t programs[wire::MAX_PROGRAMS] = {}, links[wire::MAX_PROGRAMS] = {};
  bool cgroup = request.descriptorCount == 1;
  bpf_attr attr{};
  attr.query.target_ifindex = cgroup ? request.descriptors[0].get() : wish.interface;  // the same field
  attr.query.attach_type = wish.attachType, attr.query.query_flags = wish.flags & BPF_F_QUERY_EFFECTIVE;
  attr.query.prog_cnt = wire::MAX_PROGRAMS, attr.query.prog_ids = toKernel(programs);
  if (!cgroup) attr.query.link_ids = toKernel(links);  // cgroups refuse the field
  if (long error = context.bpf.call(BPF_PROG_QUERY, attr); error && error != -ENOSPC) return error;
  uint32_t count = attr.query.prog_cnt < wire::MAX_PROGRAMS ? attr.query.prog_cnt : wire::MAX_PROGRAMS;
  Answer answer(count);
  wire::QueryAnswer head{attr.query.revision, count, attr.query.attach_flags};
  answer.add(&head, sizeof head).add(programs, count * sizeof *programs).add(links, cgroup ? 0 : count * sizeof *links);
  return answer;
}

}  // namespace bpfman
