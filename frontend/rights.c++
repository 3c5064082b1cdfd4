#include "frontend/rights.h"

#include <fnmatch.h>

#include <algorithm>

#include "frontend/refuse.h"

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
constexpr kj::StringPtr MAP_RIGHT_NAMES[] = {"read"_kj, "hand out descriptors of"_kj, "write"_kj};

// A type that the schema got and this table did not is nobody's but an administrator's.
const TypeRow* find(schema::ProgramType type) {
  auto found = std::ranges::find_if(TYPES, [&](auto& row) { return row.type == type; });
  return found == std::end(TYPES) ? nullptr : found;
}

bool allows(const Role& role, ProgramClass programClass) { return role.classes >> unsigned(programClass) & 1; }

bool allows(const Role& role, const AttachTarget& target) {
  if (!allows(role, classOf(target.type))) return false;
  if (classOf(target.type) != ProgramClass::network) return true;
  bool place = target.hostNetns ? role.hostNamespace : role.ownNamespaces && target.ownNetns;
  place = place || std::ranges::any_of(role.namespaces, [&](auto& named) { return named.nsid == target.nsid; });
  bool interface = std::ranges::any_of(role.interfaces, [&](auto& glob) { return fnmatch(glob.c_str(), target.interface.cStr(), 0) == 0; });
  return place && interface && target.priority >= role.minPriority && target.priority <= role.maxPriority;
}

}  // namespace

ProgramClass classOf(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? ProgramClass::control : row->programClass;
}

kj::StringPtr nameOf(schema::ProgramType type) {
  auto row = find(type);
  return row == nullptr ? "unknown"_kj : row->name;
}

kj::StringPtr nameOf(ProgramClass programClass) { return CLASS_NAMES[unsigned(programClass)]; }

Rights::Rights(uid_t uid, std::vector<std::shared_ptr<const Role>> roles, std::string policyName)
    : uid(uid), roles(std::move(roles)), policyName(std::move(policyName)) {}

template <typename Test>
bool Rights::any(Test&& test) const {
  return std::ranges::any_of(roles, [&](auto& role) { return role->base == Role::administrator || test(*role); });
}

bool Rights::administrator() const {
  return any([](auto&) { return false; });
}

std::vector<std::string> Rights::roleNames() const {
  std::vector<std::string> names;
  for (auto& role : roles) names.push_back(role->name);
  return names;
}

void Rights::deny(kj::StringPtr what) const {
  if (onDenied) onDenied(what);
  refuse(PERMISSION_DENIED, "user ", uid, " has no role that may ", what, "; ask the administrator to add it in ", policyName.c_str());
}

void Rights::requireView() const {
  if (!view()) deny("view this host's eBPF programs");
}

void Rights::requireAdministrator(kj::StringPtr toDo) const {
  if (!administrator()) deny(toDo);
}

void Rights::requireLoad(schema::ProgramType type) const {
  auto programClass = classOf(type);
  if (any([&](auto& role) { return role.base == Role::operator_ && allows(role, programClass); })) return;
  deny(kj::str("load type ", nameOf(type), " (class ", nameOf(programClass), ")"));
}

void Rights::requireRoom(uint32_t programs) const {
  if (any([&](auto& role) { return role.base == Role::operator_ && programs <= role.maxPrograms; })) return;
  deny(kj::str("have ", programs, " programs loaded at once (max_programs)"));
}

uint64_t Rights::maxMapBytes() const {
  if (administrator()) return UINT64_MAX;
  uint64_t most = 0;
  for (auto& role : roles) {
    if (role->base == Role::operator_) most = std::max(most, role->maxMapBytes);
  }
  return most;
}

void Rights::requireAttach(const AttachTarget& target) const {
  if (any([&](auto& role) { return role.base == Role::operator_ && allows(role, target); })) return;
  auto programClass = classOf(target.type);
  if (programClass != ProgramClass::network) deny(kj::str("attach type ", nameOf(target.type), " (class ", nameOf(programClass), ")"));
  kj::StringPtr whose = target.hostNetns ? "the host's" : target.ownNetns ? "his own" : "someone else's";
  deny(kj::str("attach type ", nameOf(target.type), " (class ", nameOf(programClass), ") to interface ", target.interface, " in ", whose,
               " network namespace with priority ", target.priority));
}

void Rights::requireUnload(uid_t owner) const {
  if (any([&](auto& role) { return role.base == Role::operator_ && owner == uid; })) return;
  deny(kj::str("change programs of user ", owner));
}

// An operator's are those of his own programs; a viewer has none of his own and is given all.
bool Rights::mayMap(MapRight right, uid_t owner) const {
  return any([&](auto& role) { return role.mapRights >> unsigned(right) & 1 && (role.base == Role::viewer || owner == uid); });
}

void Rights::requireMap(MapRight right, uid_t owner) const {
  if (!mayMap(right, owner)) deny(kj::str(MAP_RIGHT_NAMES[unsigned(right)], " maps of programs of user ", owner));
}

}  // namespace bpfman
