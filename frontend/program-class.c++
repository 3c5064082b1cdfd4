#include "frontend/program-class.h"

#include <algorithm>
#include <iterator>

namespace bpfman {
namespace {

struct TypeRow {
  schema::ProgramType type;
  kj::StringPtr name;
  ProgramClass programClass;
  TargetKind target;
};

using T = schema::ProgramType;
using C = ProgramClass;
using K = TargetKind;
constexpr TypeRow TYPES[] = {
    {T::XDP, "xdp"_kj, C::network, K::interface},
    {T::TC, "tc"_kj, C::network, K::interface},
    {T::TCX, "tcx"_kj, C::network, K::interface},
    {T::TRACEPOINT, "tracepoint"_kj, C::observe, K::none},
    {T::RAW_TRACEPOINT, "raw_tracepoint"_kj, C::observe, K::none},
    {T::TP_BTF, "tp_btf"_kj, C::observe, K::none},
    {T::KPROBE, "kprobe"_kj, C::observe, K::none},
    {T::KRETPROBE, "kretprobe"_kj, C::observe, K::none},
    {T::UPROBE, "uprobe"_kj, C::observe, K::binary},
    {T::URETPROBE, "uretprobe"_kj, C::observe, K::binary},
    {T::FENTRY, "fentry"_kj, C::observe, K::none},
    {T::FEXIT, "fexit"_kj, C::observe, K::none},
    {T::LSM, "lsm"_kj, C::control, K::none},
    {T::CGROUP_SKB, "cgroup_skb"_kj, C::cgroup, K::cgroup},
};

constexpr kj::StringPtr CLASS_NAMES[] = {"network"_kj, "cgroup"_kj, "observe"_kj, "control"_kj};

const TypeRow* find(schema::ProgramType type) {
  auto found = std::ranges::find_if(TYPES, [&](auto& row) { return row.type == type; });
  return found == std::end(TYPES) ? nullptr : found;
}

}  // namespace

ProgramClass classOf(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? ProgramClass::control : row->programClass;
}

TargetKind targetOf(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? TargetKind::none : row->target;
}

kj::StringPtr typeName(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? "unknown"_kj : row->name;
}

kj::Maybe<schema::ProgramType> typeNamed(kj::StringPtr name) {
  auto found = std::ranges::find_if(TYPES, [&](auto& row) { return row.name == name; });
  if (found == std::end(TYPES)) return nullptr;
  return found->type;
}

kj::StringPtr className(ProgramClass programClass) { return CLASS_NAMES[unsigned(programClass)]; }

}  // namespace bpfman
