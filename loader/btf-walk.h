// The types of an object's BTF as values need them: without typedefs and qualifiers, with the members of anonymous structs in their place.
// libbpf has looked at each id and name when it read the BTF; nobody has looked where they lead.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <bpf/btf.h>

namespace bpfman {

constexpr unsigned MAX_TYPE_DEPTH = 32;

struct BitPlace {
  uint64_t bit;   // from the variable's begin
  unsigned bits;  // of a bit field; 0: all of its type
};

bool fits(BitPlace place, size_t size, size_t variableSize);  // size: bytes of its type
void writeBits(std::span<unsigned char> bytes, BitPlace place, uint64_t value, size_t size);
uint64_t readBits(std::span<const unsigned char> bytes, BitPlace place, size_t size);

struct BtfMember {
  std::string name;
  uint32_t type;
  uint64_t bit;
  unsigned bits;
  bool inUnion;
};

class BtfWalk {
 public:
  explicit BtfWalk(const btf* types) : types(types) {}

  const btf_type* type(uint32_t id) const { return btf__type_by_id(types, id); }
  unsigned kind(uint32_t id) const { return type(id) ? btf_kind(type(id)) : 0; }  // BTF_KIND_*
  uint32_t resolve(uint32_t id) const;                                            // through typedefs, qualifiers and variables; 0: nowhere
  int64_t size(uint32_t id) const { return btf__resolve_size(types, id); }        // bytes; negative: unknown
  bool isByte(uint32_t id) const;                                                 // an integer of one byte, which texts are made of
  std::string name(uint32_t id) const;                                            // "unsigned int", "struct conf", "char[16]"
  std::vector<BtfMember> members(uint32_t id) const;                              // of a struct, or a union
  std::string enumerator(const btf_type* type, unsigned index) const;
  static uint64_t enumeratorValue(const btf_type* type, unsigned index);

 private:
  const btf* types;

  std::string text(uint32_t offset) const;
  void addMembers(std::vector<BtfMember>& members, uint32_t id, uint64_t bit, bool inUnion, unsigned depth) const;
};

}  // namespace bpfman
