// Links: made from pinned programs, pinned at once. Their only reference at rest is the pin.
#include "worker/operations.h"
#include "worker/pins.h"

#include <cerrno>

namespace bpfman {

using wire::Kind;
using wire::LinkKind;

namespace {

constexpr uint64_t CGROUP_TYPES = 1 << BPF_CGROUP_INET_INGRESS | 1 << BPF_CGROUP_INET_EGRESS;
constexpr uint32_t ANCHORS = BPF_F_BEFORE | BPF_F_AFTER | BPF_F_ID | BPF_F_LINK;

// What the kernel wants for each kind. False: the request has what its kind does not take.
bool fill(const wire::CreateLink& wish, int target, bpf_attr& attr) {
  attr.link_create.attach_type = wish.attachType;
  switch (wish.kind) {
    case LinkKind::xdp:
      attr.link_create.target_ifindex = wish.interface, attr.link_create.flags = wish.flags;
      return wish.attachType == BPF_XDP && target < 0 && wish.flags < 16;
    case LinkKind::tcx:
      attr.link_create.target_ifindex = wish.interface, attr.link_create.flags = wish.flags;
      attr.link_create.tcx.relative_id = wish.relative, attr.link_create.tcx.expected_revision = wish.expectedRevision;
      return (wish.attachType == BPF_TCX_INGRESS || wish.attachType == BPF_TCX_EGRESS) && target < 0 && !(wish.flags & ~ANCHORS) &&
             (wish.relative == 0 || (wish.flags & BPF_F_ID));  // without it the number would be a descriptor
    case LinkKind::perfEvent:
      attr.link_create.target_fd = target, attr.link_create.perf_event.bpf_cookie = wish.cookie;
      return wish.attachType == BPF_PERF_EVENT && target >= 0;
    case LinkKind::cgroup: attr.link_create.target_fd = target; return covers(&CGROUP_TYPES, 1, wish.attachType) && target >= 0;
    case LinkKind::tracing: return wish.attachType == BPF_TRACE_RAW_TP && target < 0;
    case LinkKind::iterator: return wish.attachType == BPF_TRACE_ITER && target < 0;
    case LinkKind::freplace:
      attr.link_create.target_btf_id = wish.relative;
      return wish.attachType == 0 && target < 0 && wish.relative != 0;
    case LinkKind::rawTracepoint:
      if (strnlen(wish.name, sizeof wish.name) == sizeof wish.name || target >= 0) return false;
      attr = {}, attr.raw_tracepoint.name = toKernel(wish.name);
      return true;
    case LinkKind::count: break;
  }
  return false;
}

}  // namespace

Answer answerCreateLink(Context& context, Request& request) {
  auto wish = request.as<wire::CreateLink>();
  bpf_attr attr{};
  if (kindOf(wish.to) != Kind::link || !fill(wish, request.descriptors[0].get(), attr)) die("malformed link");
  if (wish.kind != LinkKind::rawTracepoint && !covers(context.ceiling.attachTypes, 2, wish.attachType)) return -EPERM;

  Path path = pathOf(wish.to);
  Fd program = openProgram(context.bpf, wish.program);
  if (!program) return program.error();
  Fd target = wish.kind == LinkKind::freplace ? openProgram(context.bpf, wish.target) : Fd();
  if (wish.kind == LinkKind::freplace && !target) return target.error();
  if (target) attr.link_create.target_fd = target.get();
  bool raw = wish.kind == LinkKind::rawTracepoint;
  (raw ? attr.raw_tracepoint.prog_fd : attr.link_create.prog_fd) = program.get();
  Fd link(context.bpf.call(raw ? BPF_RAW_TRACEPOINT_OPEN : BPF_LINK_CREATE, attr));
  if (!link) return link.error();
  if (target) context.bpf.makeDirectory(directoryOf(wish.to).text);       // of a dispatcher; if it can't be made, pinning says so
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
  answer.add(wire::QueryAnswer{attr.query.revision, count, attr.query.attach_flags});
  answer.add(programs, count * sizeof *programs).add(links, cgroup ? 0 : count * sizeof *links);
  return answer;
}

}  // namespace bpfman
