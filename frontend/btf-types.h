// BTF, one type after the other: the kernel's own, and those of its modules, whose numbers and texts begin behind the kernel's.
#pragma once

#include <cstdint>
#include <cstring>
#include <linux/btf.h>
#include <span>
#include <string_view>
#include <vector>

#include <kj/debug.h>

namespace bpfman {

std::vector<char> readBtf(int descriptor);  // all of it; nothing of /dev/null

struct BtfStrings {
  std::span<const char> base, own;  // base: of the kernel, for a module's

  std::string_view at(uint32_t offset) const {
    auto& part = offset < base.size() ? base : own;
    if (offset >= base.size()) offset -= base.size();
    KJ_REQUIRE(offset < part.size(), "the kernel's BTF is cut", offset);
    return part.data() + offset;
  }
};

struct BtfType {
  uint32_t kind, id;
  std::string_view name;
  uint32_t info;
  std::span<const char> tail;  // its members and the like
  const BtfStrings& strings;

  std::string_view nameAt(uint32_t offset) const { return strings.at(offset); }
};

struct BtfBase {       // what a module's types stand on
  uint32_t types = 1;  // the first number that is free
  std::span<const char> strings;
};

struct BtfSections {
  std::span<const char> types, strings;
};
BtfSections btfSections(std::span<const char> bytes, bool onBase = false);
size_t btfTailOf(uint32_t kind, uint32_t count);  // how many bytes follow a type's fixed part

// Calls each(type) for every type until it returns false. The number behind the last one it was called for.
template <typename Each>
uint32_t forEachType(std::span<const char> bytes, Each each, const BtfBase& base = {}) {
  auto [types, own] = btfSections(bytes, !base.strings.empty());
  BtfStrings strings{base.strings, own};
  uint32_t id = base.types;
  for (bool more = true; more && !types.empty(); id++) {
    btf_type type;
    KJ_REQUIRE(types.size() >= sizeof(type), "the kernel's BTF is cut", id);
    memcpy(&type, types.data(), sizeof(type));
    uint32_t kind = BTF_INFO_KIND(type.info);
    KJ_REQUIRE(kind <= BTF_KIND_ENUM64, "the kernel's BTF has a kind of type that this version does not know", kind);
    size_t size = sizeof(type) + btfTailOf(kind, BTF_INFO_VLEN(type.info));
    KJ_REQUIRE(size <= types.size(), "the kernel's BTF is cut", id);
    more = each(BtfType{kind, id, strings.at(type.name_off), type.info, types.subspan(sizeof(type), size - sizeof(type)), strings});
    types = types.subspan(size);
  }
  return id;
}

}  // namespace bpfman
