#include <cmath>
#include <cstring>

#include <nlohmann/json.hpp>

#include "loader/btf-walk.h"
#include "loader/typed-value.h"

namespace bpfman {

namespace {

using Json = nlohmann::ordered_json;

class Reader {
 public:
  Reader(const btf* types, std::span<const unsigned char> value, size_t room) : walk(types), value(value), left(room) {}

  bool tooMuch() const { return over; }

  Json read(uint32_t id, BitPlace place, unsigned depth) {
    over |= left == 0;
    if (over || depth > MAX_TYPE_DEPTH) return nullptr;
    --left;  // each part has a character at least
    uint32_t resolved = walk.resolve(id);
    const btf_type* type = walk.type(resolved);
    switch (walk.kind(resolved)) {
      case BTF_KIND_INT: return readInt(type, place);
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64: return readEnum(type, place);
      case BTF_KIND_FLOAT: return readFloat(type, place);
      case BTF_KIND_ARRAY: return readArray(resolved, place, depth);
      case BTF_KIND_STRUCT: return readStruct(resolved, place, depth);
      default: return nullptr;
    }
  }

 private:
  BtfWalk walk;
  std::span<const unsigned char> value;
  size_t left;
  bool over = false;

  Json number(BitPlace place, size_t size, bool isSigned) {
    if (!fits(place, size, value.size())) return nullptr;
    uint64_t raw = readBits(value, place, size);
    unsigned unused = 64 - (place.bits ? place.bits : size * 8);
    if (!isSigned) return raw;
    return static_cast<int64_t>(raw << unused) >> unused;
  }

  Json readInt(const btf_type* type, BitPlace place) {
    if (!place.bits && btf_int_bits(type) != type->size * 8) place = {place.bit + btf_int_offset(type), btf_int_bits(type)};
    Json read = number(place, type->size, btf_int_encoding(type) & BTF_INT_SIGNED);
    if (btf_int_encoding(type) & BTF_INT_BOOL && !read.is_null() && read.get<uint64_t>() <= 1) return read.get<uint64_t>() == 1;
    return read;
  }

  Json readEnum(const btf_type* type, BitPlace place) {
    bool isSigned = btf_kflag(type);
    Json read = number(place, type->size, isSigned);
    if (read.is_null() || (!btf_is_enum64(type) && type->size > 4)) return read;
    unsigned unused = 64 - (place.bits ? place.bits : type->size * 8);
    uint64_t raw = readBits(value, place, type->size);
    for (unsigned i = 0; i < btf_vlen(type); ++i)
      if (walk.enumeratorValue(type, i) << unused == raw << unused) return walk.enumerator(type, i);
    return read;
  }

  Json readFloat(const btf_type* type, BitPlace place) {
    if ((type->size != 4 && type->size != 8) || !fits(place, type->size, value.size())) return nullptr;
    uint64_t raw = readBits(value, place, type->size);
    double number = 0;
    if (type->size == 4) {
      auto half = static_cast<uint32_t>(raw);
      float narrow;
      memcpy(&narrow, &half, sizeof narrow);
      number = narrow;
    } else {
      memcpy(&number, &raw, sizeof number);
    }
    return std::isfinite(number) ? Json(number) : Json(nullptr);
  }

  // Text that writing it gives the same bytes of, or else numbers.
  bool isText(const char* text, size_t size) const {
    size_t length = strnlen(text, size);
    for (size_t i = 0; i < size; ++i)
      if (i < length ? text[i] < ' ' || text[i] > '~' : text[i] != 0) return false;
    return length < size;
  }

  Json readArray(uint32_t id, BitPlace place, unsigned depth) {
    const auto* array = btf_array(walk.type(id));
    int64_t size = walk.size(array->type);
    uint64_t first = place.bit / 8;
    if (size <= 0) return nullptr;
    if (walk.isByte(array->type) && walk.name(walk.resolve(array->type)) == "char" && first <= value.size() &&
        value.size() - first >= array->nelems) {
      auto* text = reinterpret_cast<const char*>(value.data() + first);
      if (isText(text, array->nelems)) return std::string(text);
    }
    Json elements = Json::array();
    for (uint32_t i = 0; i < array->nelems && !over; ++i)
      elements.push_back(read(array->type, {place.bit + uint64_t{i} * size * 8, 0}, depth + 1));
    return elements;
  }

  Json readStruct(uint32_t id, BitPlace place, unsigned depth) {
    Json object = Json::object();
    for (auto& member : walk.members(id)) {
      if (member.inUnion || over) continue;
      object[member.name] = read(member.type, {place.bit + member.bit, member.bits}, depth + 1);
    }
    return object;
  }
};

}  // namespace

std::string readJson(const btf* types, uint32_t type, std::span<const unsigned char> value, size_t room) {
  if (value.empty() || room == 0) return "";
  Reader reader(types, value, room);
  std::string json = reader.read(type, {0, 0}, 0).dump(-1, ' ', false, Json::error_handler_t::replace);
  return reader.tooMuch() || json.size() > room ? "" : json;
}

}  // namespace bpfman
