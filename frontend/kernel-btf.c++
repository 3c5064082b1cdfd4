#include "frontend/kernel-btf.h"

#include <algorithm>
#include <cstring>
#include <linux/btf.h>
#include <span>
#include <string_view>
#include <unistd.h>

#include <kj/debug.h>

namespace bpfman {
namespace {

constexpr size_t MAX_BTF = 128 << 20;
constexpr std::string_view TRACEPOINT = "btf_trace_";
constexpr size_t NEAR = 4;  // changes at most, for a near miss
constexpr uint32_t NEWEST_KIND = BTF_KIND_ENUM64;

std::vector<char> readWhole(int descriptor) {
  std::vector<char> all(256 << 10);
  for (size_t used = 0;;) {
    if (used == all.size()) {
      KJ_REQUIRE(used < MAX_BTF, "the kernel's BTF is larger than 128 MiB");
      all.resize(2 * used);
    }
    ssize_t got;
    KJ_SYSCALL(got = pread(descriptor, all.data() + used, all.size() - used, used));
    if (got == 0) {
      all.resize(used);
      return all;
    }
    used += got;
  }
}

// How many bytes follow a type's fixed part.
size_t tailOf(uint32_t kind, uint32_t count) {
  switch (kind) {
    case BTF_KIND_INT: return sizeof(uint32_t);
    case BTF_KIND_ARRAY: return sizeof(btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION: return count * sizeof(btf_member);
    case BTF_KIND_ENUM: return count * sizeof(btf_enum);
    case BTF_KIND_ENUM64: return count * sizeof(btf_enum64);
    case BTF_KIND_FUNC_PROTO: return count * sizeof(btf_param);
    case BTF_KIND_VAR: return sizeof(btf_var);
    case BTF_KIND_DATASEC: return count * sizeof(btf_var_secinfo);
    case BTF_KIND_DECL_TAG: return sizeof(btf_decl_tag);
    default: return 0;
  }
}

struct Type {
  uint32_t kind, id;
  std::string_view name;
  uint32_t info;
  std::span<const char> tail;  // its members and the like
  std::span<const char> strings;

  std::string_view nameAt(uint32_t offset) const {
    KJ_REQUIRE(offset < strings.size(), "the kernel's BTF is cut", id);
    return strings.data() + offset;
  }
};

// Calls each(type) for every type until it returns false.
template <typename Each>
void forEachType(std::span<const char> bytes, Each each) {
  btf_header header;
  KJ_REQUIRE(bytes.size() >= sizeof(header), "the kernel's BTF is cut", bytes.size());
  std::memcpy(&header, bytes.data(), sizeof(header));
  KJ_REQUIRE(header.magic == BTF_MAGIC && header.version == BTF_VERSION, "not BTF", header.magic, header.version);
  KJ_REQUIRE(header.hdr_len >= sizeof(header) && header.hdr_len <= bytes.size(), "the kernel's BTF is cut", header.hdr_len);
  auto body = bytes.subspan(header.hdr_len);
  auto section = [&](uint64_t offset, uint64_t size) {
    KJ_REQUIRE(offset + size <= body.size(), "the kernel's BTF is cut", offset, size, body.size());
    return body.subspan(offset, size);
  };
  auto types = section(header.type_off, header.type_len), strings = section(header.str_off, header.str_len);
  KJ_REQUIRE(!strings.empty() && strings.back() == '\0', "the kernel's BTF has no end of strings");

  for (uint32_t id = 1; !types.empty(); id++) {
    btf_type type;
    KJ_REQUIRE(types.size() >= sizeof(type), "the kernel's BTF is cut", id);
    std::memcpy(&type, types.data(), sizeof(type));
    uint32_t kind = BTF_INFO_KIND(type.info);
    size_t size = sizeof(type) + tailOf(kind, BTF_INFO_VLEN(type.info));
    KJ_REQUIRE(kind <= NEWEST_KIND, "the kernel's BTF has a kind of type that this version does not know", kind);
    KJ_REQUIRE(size <= types.size() && type.name_off < strings.size(), "the kernel's BTF is cut", id);
    Type seen{kind, id, strings.data() + type.name_off, type.info, types.subspan(sizeof(type), size - sizeof(type)), strings};
    if (!each(seen)) return;
    types = types.subspan(size);
  }
}

struct Found {
  uint32_t index, offset;  // offset: bytes
};

kj::Maybe<Found> memberOf(const Type& type, std::string_view name) {
  for (uint32_t i = 0; i < BTF_INFO_VLEN(type.info); i++) {
    btf_member member;
    std::memcpy(&member, type.tail.data() + i * sizeof(member), sizeof(member));
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
    auto bytes = readWhole(btf);
    if (!bytes.empty()) {
      forEachType(bytes, [&](const Type& type) {
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
  auto bytes = readWhole(btf);
  if (bytes.empty() || name.size() == 0) return nullptr;
  forEachType(bytes, [&](const Type& type) {
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
  auto bytes = readWhole(btf);
  if (bytes.empty() || dot == whole.npos) return nullptr;
  std::string_view struct_ = whole.substr(0, dot), member = whole.substr(dot + 1);
  std::string wrapper = "bpf_struct_ops_" + std::string(struct_);
  kj::Maybe<std::pair<uint32_t, Found>> inner, outer;
  forEachType(bytes, [&](const Type& type) {
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
