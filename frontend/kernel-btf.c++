#include "frontend/kernel-btf.h"

#include <algorithm>
#include <string_view>

#include "frontend/btf-types.h"

namespace bpfman {
namespace {

constexpr std::string_view TRACEPOINT = "btf_trace_";
constexpr size_t NEAR = 4;  // changes at most, for a near miss

struct Found {
  uint32_t index, offset;  // offset: bytes
};

kj::Maybe<Found> memberOf(const BtfType& type, std::string_view name) {
  for (uint32_t i = 0; i < BTF_INFO_VLEN(type.info); i++) {
    btf_member member;
    memcpy(&member, type.tail.data() + i * sizeof(member), sizeof(member));
    uint32_t bits = BTF_INFO_KFLAG(type.info) ? BTF_MEMBER_BIT_OFFSET(member.offset) : member.offset;
    if (type.nameAt(member.name_off) == name) return Found{i, bits / 8};
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
  if (!indexed) {
    auto bytes = readBtf(btf);
    if (!bytes.empty()) {
      forEachType(bytes, [&](const BtfType& type) {
        if (type.kind == BTF_KIND_TYPEDEF && type.name.starts_with(TRACEPOINT))
          tracepoints.try_emplace(std::string(type.name.substr(TRACEPOINT.size())), type.id);
        return true;
      });
    }
    indexed = true;
  }
  return tracepoints;
}

kj::Maybe<uint32_t> KernelBtf::tracepointId(kj::StringPtr name) {
  auto found = index().find(std::string_view(name.cStr(), name.size()));
  if (found == tracepoints.end()) return nullptr;
  return found->second;
}

kj::Maybe<uint32_t> KernelBtf::functionId(kj::StringPtr name) {
  kj::Maybe<uint32_t> found;
  auto bytes = readBtf(btf);
  if (bytes.empty() || name.size() == 0) return nullptr;
  forEachType(bytes, [&](const BtfType& type) {
    if (type.kind != BTF_KIND_FUNC || type.name != std::string_view(name.cStr(), name.size())) return true;
    found = type.id;
    return false;
  });
  return found;
}

// The kernel wraps the struct into another, whose last member "data" it is.
kj::Maybe<KernelBtf::Member> KernelBtf::structOpsMember(kj::StringPtr name) {
  std::string_view whole(name.cStr(), name.size());
  size_t dot = whole.find('.');
  auto bytes = readBtf(btf);
  if (bytes.empty() || dot == whole.npos) return nullptr;
  std::string_view struct_ = whole.substr(0, dot), member = whole.substr(dot + 1);
  std::string wrapper = "bpf_struct_ops_" + std::string(struct_);
  kj::Maybe<std::pair<uint32_t, Found>> inner, outer;
  forEachType(bytes, [&](const BtfType& type) {
    if (type.kind != BTF_KIND_STRUCT) return true;
    if (inner == nullptr && type.name == struct_)
      KJ_IF_MAYBE (found, memberOf(type, member)) inner = std::make_pair(type.id, *found);
    if (outer == nullptr && type.name == wrapper)
      KJ_IF_MAYBE (found, memberOf(type, "data")) outer = std::make_pair(type.id, *found);
    return inner == nullptr || outer == nullptr;
  });
  KJ_IF_MAYBE (i, inner)
    KJ_IF_MAYBE (o, outer) return Member{i->first, i->second.index, o->first, o->second.offset + i->second.offset};
  return nullptr;
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
