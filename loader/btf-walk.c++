#include "loader/btf-walk.h"

#include <cstring>

#include "loader/warnings.h"

namespace bpfman {

namespace {

constexpr bool LITTLE = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
constexpr size_t MAX_MEMBERS = 4096;

// Bits are counted as BTF does: from the least significant one of the first byte here, from the most significant one on big-endian
// machines.
unsigned bitMask(uint64_t position) { return 1u << (LITTLE ? position % 8 : 7 - position % 8); }
unsigned weight(unsigned index, unsigned bits) { return LITTLE ? index : bits - 1 - index; }

const char* const WORDS[] = {"struct ", "union ", "enum "};

const char* wordFor(const btf_type* type) {
  if (btf_is_struct(type)) return WORDS[0];
  if (btf_is_union(type)) return WORDS[1];
  return btf_is_any_enum(type) ? WORDS[2] : "";
}

}  // namespace

bool fits(BitPlace place, size_t size, size_t variableSize) {
  uint64_t all = uint64_t{variableSize} * 8, bits = place.bits ? place.bits : uint64_t{size} * 8;
  bool known = size >= 1 && size <= 8 && bits <= 64 && (place.bits || place.bit % 8 == 0);
  return known && place.bit <= all && all - place.bit >= bits;
}

void writeBits(std::span<unsigned char> bytes, BitPlace place, uint64_t value, size_t size) {
  if (!place.bits) {
    memcpy(bytes.data() + place.bit / 8, reinterpret_cast<unsigned char*>(&value) + (LITTLE ? 0 : sizeof value - size), size);
    return;
  }
  for (unsigned i = 0; i < place.bits; ++i) {
    uint64_t position = place.bit + i;
    unsigned char& byte = bytes[position / 8];
    byte = value >> weight(i, place.bits) & 1 ? byte | bitMask(position) : byte & ~bitMask(position);
  }
}

uint64_t readBits(std::span<const unsigned char> bytes, BitPlace place, size_t size) {
  uint64_t value = 0;
  if (!place.bits) {
    memcpy(reinterpret_cast<unsigned char*>(&value) + (LITTLE ? 0 : sizeof value - size), bytes.data() + place.bit / 8, size);
    return value;
  }
  for (unsigned i = 0; i < place.bits; ++i)
    if (bytes[(place.bit + i) / 8] & bitMask(place.bit + i)) value |= uint64_t{1} << weight(i, place.bits);
  return value;
}

uint32_t BtfWalk::resolve(uint32_t id) const {
  for (unsigned depth = 0; depth < MAX_TYPE_DEPTH; ++depth) {
    const btf_type* at = type(id);
    if (!at || btf_is_void(at)) return 0;
    if (!btf_is_mod(at) && !btf_is_typedef(at) && !btf_is_var(at)) return id;
    id = at->type;
  }
  return 0;
}

bool BtfWalk::isByte(uint32_t id) const {
  const btf_type* at = type(resolve(id));
  return at && btf_is_int(at) && at->size == 1 && !(btf_int_encoding(at) & BTF_INT_BOOL);
}

std::string BtfWalk::text(uint32_t offset) const {
  const char* name = btf__name_by_offset(types, offset);
  return name ? printable(name, false) : "";
}

std::string BtfWalk::name(uint32_t id) const {
  std::string dimensions, result;
  for (unsigned depth = 0; depth < MAX_TYPE_DEPTH; ++depth) {
    const btf_type* at = type(id);
    if (!at || btf_is_void(at)) return "void" + dimensions;
    if (btf_is_array(at)) {
      dimensions += "[" + std::to_string(btf_array(at)->nelems) + "]";
      id = btf_array(at)->type;
    } else if (btf_is_mod(at) || btf_is_var(at)) {
      id = at->type;
    } else if (btf_is_ptr(at)) {
      return "pointer" + dimensions;
    } else {
      std::string own = text(at->name_off);
      return wordFor(at) + (own.empty() ? std::string("without a name") : own) + dimensions;
    }
  }
  return "unknown";
}

std::vector<BtfMember> BtfWalk::members(uint32_t id) const {
  std::vector<BtfMember> result;
  const btf_type* at = type(id);
  if (at && btf_is_composite(at)) addMembers(result, id, 0, btf_is_union(at), 0);
  return result;
}

void BtfWalk::addMembers(std::vector<BtfMember>& members, uint32_t id, uint64_t bit, bool inUnion, unsigned depth) const {
  const btf_type* at = type(id);
  for (unsigned i = 0; i < btf_vlen(at) && members.size() < MAX_MEMBERS; ++i) {
    const btf_member& member = btf_members(at)[i];
    uint64_t place = bit + btf_member_bit_offset(at, i);
    std::string own = text(member.name_off);
    uint32_t inner = resolve(member.type);
    if (!own.empty()) {
      members.push_back({own, member.type, place, btf_member_bitfield_size(at, i), inUnion});
    } else if (inner && btf_is_composite(type(inner)) && depth < MAX_TYPE_DEPTH) {
      addMembers(members, inner, place, inUnion || btf_is_union(type(inner)), depth + 1);
    }
  }
}

std::string BtfWalk::enumerator(const btf_type* type, unsigned index) const {
  return text(btf_is_enum64(type) ? btf_enum64(type)[index].name_off : btf_enum(type)[index].name_off);
}

uint64_t BtfWalk::enumeratorValue(const btf_type* type, unsigned index) {
  if (btf_is_enum64(type)) return btf_enum64_value(&btf_enum64(type)[index]);
  return static_cast<uint64_t>(int64_t{btf_enum(type)[index].val});
}

}  // namespace bpfman
