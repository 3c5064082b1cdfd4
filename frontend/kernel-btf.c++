#include "frontend/kernel-btf.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include <kj/debug.h>

#include "frontend/btf-types.h"

namespace bpfman {
namespace {

constexpr std::string_view TRACEPOINT = "btf_trace_";
constexpr std::string_view WRAPPER = "bpf_struct_ops_";  // the kernel's struct around a struct_ops, whose last member "data" that is
constexpr size_t NEAR = 4;                               // changes at most, for a near miss

struct Place {
  uint32_t type, index, offset;  // the struct's id; its member's number, and bytes from its begin
};

kj::Maybe<Place> memberOf(const BtfType& type, std::string_view name) {
  for (uint32_t i = 0; i < BTF_INFO_VLEN(type.info); i++) {
    btf_member member;
    std::memcpy(&member, type.tail.data() + i * sizeof(member), sizeof(member));
    uint32_t bits = BTF_INFO_KFLAG(type.info) ? BTF_MEMBER_BIT_OFFSET(member.offset) : member.offset;
    if (type.nameAt(member.name_off) == name) return Place{type.id, i, bits / 8};
  }
  return nullptr;
}

// How many letters must be put in, left out or exchanged.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t corner = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1])});
      corner = above;
    }
  }
  return row[b.size()];
}

}  // namespace

const std::map<std::string, uint32_t, std::less<>>& KernelBtf::index() {
  if (!indexed) find({});
  return tracepoints;
}

kj::Maybe<uint32_t> KernelBtf::tracepointId(kj::StringPtr name) {
  auto found = index().find(std::string_view(name.cStr(), name.size()));
  if (found == tracepoints.end()) return nullptr;
  return found->second;
}

kj::Maybe<uint32_t> KernelBtf::functionId(kj::StringPtr name) {
  if (name.size() == 0) return nullptr;
  auto found = find({{std::string(name.cStr(), name.size())}, ""}).functions;
  if (found.empty()) return nullptr;
  return found.begin()->second;
}

kj::Maybe<KernelBtf::Member> KernelBtf::structOpsMember(kj::StringPtr name) {
  return find({{}, std::string(name.cStr(), name.size())}).member;
}

KernelBtf::Found KernelBtf::find(const Names& names) {
  Found found;
  auto bytes = readBtf(btf);
  size_t dot = names.member.find('.');
  bool memberWanted = dot != names.member.npos;
  std::string struct_ = names.member.substr(0, dot), member = memberWanted ? names.member.substr(dot + 1) : "";
  std::string wrapper = std::string(WRAPPER) + struct_;
  kj::Maybe<Place> inner, outer;
  auto look = [&](const BtfType& type) {
    if (type.kind == BTF_KIND_FUNC && names.functions.contains(type.name)) found.functions.try_emplace(std::string(type.name), type.id);
    if (type.kind == BTF_KIND_TYPEDEF && !indexed && type.name.starts_with(TRACEPOINT))
      tracepoints.try_emplace(std::string(type.name.substr(TRACEPOINT.size())), type.id);
    if (type.kind == BTF_KIND_STRUCT && !indexed && type.name.starts_with(WRAPPER) && memberOf(type, "data") != nullptr)
      takenStructOps.emplace_back(type.name.substr(WRAPPER.size()));
    if (type.kind == BTF_KIND_STRUCT && memberWanted) {
      if (inner == nullptr && type.name == struct_) inner = memberOf(type, member);
      if (outer == nullptr && type.name == wrapper) outer = memberOf(type, "data");
    }
    bool all = found.functions.size() == names.functions.size() && (!memberWanted || (inner != nullptr && outer != nullptr));
    return !all || !indexed;
  };
  if (!bytes.empty()) forEachType(bytes, look);
  indexed = true;
  KJ_IF_MAYBE (i, inner)
    KJ_IF_MAYBE (o, outer) found.member = Member{i->type, i->index, o->type, o->offset + i->offset};
  return found;
}

kj::Maybe<kj::String> KernelBtf::nearestTracepoint(kj::StringPtr name) {
  std::string_view wanted(name.cStr(), std::min<size_t>(name.size(), 128));
  size_t best = std::min(NEAR, wanted.size() / 3 + 1) + 1;
  kj::Maybe<kj::String> nearest;
  for (auto& [candidate, id] : index()) {
    size_t changes = distance(wanted, candidate);
    if (changes >= best) continue;
    best = changes;
    nearest = kj::heapString(candidate.data(), candidate.size());
  }
  return nearest;
}

}  // namespace bpfman
