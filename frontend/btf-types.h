// The types of a BTF, one after the other. Whatever the bytes are, nothing outside of them is read.
#pragma once

#include <cstdint>
#include <cstring>
#include <linux/btf.h>
#include <span>
#include <string_view>
#include <vector>

#include <kj/debug.h>

namespace bpfman {

std::vector<char> readBtf(int descriptor);        // the whole file, which is at most 128 MiB
size_t btfTailOf(uint32_t kind, uint32_t count);  // how many bytes follow a type's fixed part
constexpr uint32_t NEWEST_KIND = BTF_KIND_ENUM64;

struct BtfType {
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
    size_t size = sizeof(type) + btfTailOf(kind, BTF_INFO_VLEN(type.info));
    KJ_REQUIRE(kind <= NEWEST_KIND, "the kernel's BTF has a kind of type that this version does not know", kind);
    KJ_REQUIRE(size <= types.size() && type.name_off < strings.size(), "the kernel's BTF is cut", id);
    BtfType seen{kind, id, strings.data() + type.name_off, type.info, types.subspan(sizeof(type), size - sizeof(type)), strings};
    if (!each(seen)) return;
    types = types.subspan(size);
  }
}

}  // namespace bpfman
