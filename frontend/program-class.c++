#include "frontend/program-class.h"

#include <algorithm>
#include <iterator>

namespace bpfman {
namespace {

struct TypeRow {
  schema::ProgramType type;
  kj::StringPtr name;
  ProgramClass programClass;
};

using T = schema::ProgramType;
using C = ProgramClass;
constexpr TypeRow TYPES[] = {
    {T::XDP, "xdp"_kj, C::network},
    {T::TC, "tc"_kj, C::network},
    {T::TCX, "tcx"_kj, C::network},
    {T::TRACEPOINT, "tracepoint"_kj, C::observe},
    {T::RAW_TRACEPOINT, "raw_tracepoint"_kj, C::observe},
    {T::TP_BTF, "tp_btf"_kj, C::observe},
    {T::KPROBE, "kprobe"_kj, C::observe},
    {T::KRETPROBE, "kretprobe"_kj, C::observe},
    {T::UPROBE, "uprobe"_kj, C::observe},
    {T::URETPROBE, "uretprobe"_kj, C::observe},
    {T::FENTRY, "fentry"_kj, C::observe},
    {T::FEXIT, "fexit"_kj, C::observe},
    {T::LSM, "lsm"_kj, C::control},
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

kj::StringPtr typeName(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? "unknown"_kj : row->name;
}

kj::StringPtr className(ProgramClass programClass) { return CLASS_NAMES[unsigned(programClass)]; }

}  // namespace bpfman
