#include "loader/typed-value.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include <nlohmann/json.hpp>

#include "loader/btf-walk.h"
#include "loader/refusal.h"
#include "loader/warnings.h"

namespace bpfman {

namespace {

using Json = nlohmann::json;

constexpr size_t MAX_SHOWN = 60, MAX_NAMES = 40;

// Sign and magnitude, so that one type holds every 64-bit integer.
struct Integer {
  bool negative = false;
  uint64_t magnitude = 0;
  uint64_t twosComplement() const { return negative ? ~magnitude + 1 : magnitude; }
};

bool parse(std::string_view text, Integer& integer) {
  if (text.starts_with('-')) integer.negative = true, text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) base = 16, text.remove_prefix(2);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer.magnitude, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool integerFrom(const Json& given, Integer& integer) {
  if (given.is_string()) return parse(given.get_ref<const std::string&>(), integer);
  if (given.is_number_unsigned()) return integer.magnitude = given.get<uint64_t>(), true;
  if (!given.is_number_integer()) return false;
  integer.negative = true;
  integer.magnitude = ~static_cast<uint64_t>(given.get<int64_t>()) + 1;
  return true;
}

std::string shown(const Json& given) {
  std::string text = printable(given.dump(-1, ' ', false, Json::error_handler_t::replace), false);
  return text.size() > MAX_SHOWN ? text.substr(0, MAX_SHOWN) + "…" : text;
}

std::string joined(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size() && i < MAX_NAMES; ++i) list += (i ? " " : "") + names[i];
  return "[" + list + (names.size() > MAX_NAMES ? " …" : "") + "]";
}

[[noreturn]] void wrong(const std::string& path, const std::string& what) { throw Refusal{"global variable \"" + path + "\": " + what}; }

class Writer {
 public:
  Writer(const btf* types, std::span<unsigned char> value, std::span<unsigned char> mask) : walk(types), value(value), mask(mask) {}

  void write(uint32_t id, const Json& given, BitPlace place, const std::string& path, unsigned depth) {
    if (depth > MAX_TYPE_DEPTH) wrong(path, "its type is nested too deeply");
    uint32_t resolved = walk.resolve(id);
    const btf_type* type = walk.type(resolved);
    switch (walk.kind(resolved)) {
      case BTF_KIND_INT: return writeInt(type, given, place, path);
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64: return writeEnum(type, given, place, path);
      case BTF_KIND_FLOAT: return writeFloat(type, given, place, path);
      case BTF_KIND_ARRAY: return writeArray(resolved, given, place, path, depth);
      case BTF_KIND_STRUCT: return writeStruct(resolved, given, place, path, depth);
      case BTF_KIND_PTR: wrong(path, "a pointer can't be set: an address of here means nothing to the program");
      case BTF_KIND_UNION:
        wrong(path, "a union can't be set, as which of its members is meant is not known; the whole variable's bytes can: -g NAME=HEX");
      default: wrong(path, "variables of this type (" + walk.name(id) + ") can't be set");
    }
  }

 private:
  BtfWalk walk;
  std::span<unsigned char> value, mask;

  void put(BitPlace place, uint64_t bits, size_t size, const std::string& path) {
    if (!fits(place, size, value.size())) wrong(path, "the object's BTF does not agree with its variables");
    writeBits(value, place, bits, size);
    writeBits(mask, place, ~uint64_t{0}, size);
  }

  struct Range {
    uint64_t below, most;  // -below .. most
  };

  static Range rangeOf(bool isSigned, unsigned bits) {
    uint64_t half = uint64_t{1} << (bits - 1);
    return isSigned ? Range{half, half - 1} : Range{0, half - 1 + half};
  }

  void putInteger(const Json& given, Range range, BitPlace place, size_t size, const std::string& path, const std::string& expected) {
    Integer integer;
    if (!integerFrom(given, integer) || integer.magnitude > (integer.negative ? range.below : range.most))
      wrong(path, shown(given) + ": expected " + expected + "an integer, " + (range.below ? "-" : "") + std::to_string(range.below) +
                      " .. " + std::to_string(range.most));
    put(place, integer.twosComplement(), size, path);
  }

  unsigned bitsOf(BitPlace place, size_t size, const std::string& path) {
    uint64_t bits = place.bits ? place.bits : uint64_t{size} * 8;
    if (size > 8 || bits == 0 || bits > 64)
      wrong(path, "integers of " + std::to_string(bits) + " bits can be set by their bytes only: -g NAME=HEX");
    return bits;
  }

  void writeInt(const btf_type* type, const Json& given, BitPlace place, const std::string& path) {
    unsigned bits = btf_int_bits(type);
    if (!place.bits && bits != type->size * 8) place = {place.bit + btf_int_offset(type), bits};  // a bit field, as older compilers say it
    if (btf_int_encoding(type) & BTF_INT_BOOL) {
      bool number = given.is_number_unsigned() && given.get<uint64_t>() <= 1;
      if (!given.is_boolean() && !number) wrong(path, shown(given) + ": expected true or false");
      return put(place, number ? given.get<uint64_t>() : given.get<bool>(), type->size, path);
    }
    unsigned wide = bitsOf(place, type->size, path);
    putInteger(given, rangeOf(btf_int_encoding(type) & BTF_INT_SIGNED, wide), place, type->size, path, "");
  }

  // Compilers that don't know enums of 64 bits cut the values of their names, and say of none whether it has a sign.
  void writeEnum(const btf_type* type, const Json& given, BitPlace place, const std::string& path) {
    unsigned bits = bitsOf(place, type->size, path);
    bool named = btf_is_enum64(type) || type->size <= 4, negative = false;
    std::vector<std::string> names;
    for (unsigned i = 0; named && i < btf_vlen(type); ++i) {
      names.push_back(walk.enumerator(type, i));
      negative |= !btf_is_enum64(type) && btf_enum(type)[i].val < 0;
      if (given.is_string() && given.get_ref<const std::string&>() == names.back())
        return put(place, walk.enumeratorValue(type, i), type->size, path);
    }
    Range range = rangeOf(btf_kflag(type), bits);
    if (negative) range.below = rangeOf(true, bits).below;
    putInteger(given, range, place, type->size, path, named ? "one of " + joined(names) + " or " : "");
  }

  void writeFloat(const btf_type* type, const Json& given, BitPlace place, const std::string& path) {
    double number = given.is_number() ? given.get<double>() : NAN;
    if (type->size != 4 && type->size != 8)
      wrong(path, "a float of " + std::to_string(type->size) + " bytes can be set by its bytes only: -g NAME=HEX");
    auto narrow = static_cast<float>(number);
    if (!std::isfinite(number) || (type->size == 4 && !std::isfinite(narrow)))
      wrong(path, shown(given) + ": expected a number that " + std::to_string(type->size) + " bytes of float can have");
    uint64_t bits = 0;
    if (type->size == 4) {
      uint32_t half;
      memcpy(&half, &narrow, sizeof half);
      bits = half;
    } else {
      memcpy(&bits, &number, sizeof bits);
    }
    put(place, bits, type->size, path);
  }

  void writeArray(uint32_t id, const Json& given, BitPlace place, const std::string& path, unsigned depth) {
    const auto* array = btf_array(walk.type(id));
    int64_t size = walk.size(array->type);
    if (size <= 0) wrong(path, "the size of its elements is not known");
    if (given.is_string() && walk.isByte(array->type)) return writeText(given, array->nelems, place, path);
    if (!given.is_array())
      wrong(path, shown(given) + ": expected " + (walk.isByte(array->type) ? "a string in quotation marks or " : "") + "an array of " +
                      std::to_string(array->nelems) + " elements, [...]");
    if (given.size() > array->nelems)
      wrong(path, std::to_string(given.size()) + " elements were given, it has " + std::to_string(array->nelems));
    for (size_t i = 0; i < given.size(); ++i)
      write(array->type, given[i], {place.bit + i * size * 8, 0}, path + "[" + std::to_string(i) + "]", depth + 1);
  }

  void writeText(const Json& given, size_t elements, BitPlace place, const std::string& path) {
    auto& text = given.get_ref<const std::string&>();
    if (text.size() >= elements)
      wrong(path, "the text has " + std::to_string(text.size()) + " bytes; it has " + std::to_string(elements) +
                      ", of which the last ends the text");
    for (size_t i = 0; i < elements; ++i) put({place.bit + i * 8, 0}, i < text.size() ? static_cast<unsigned char>(text[i]) : 0, 1, path);
  }

  void writeStruct(uint32_t id, const Json& given, BitPlace place, const std::string& path, unsigned depth) {
    if (!given.is_object()) wrong(path, shown(given) + ": expected an object, {\"MEMBER\":VALUE,...}");
    std::vector<BtfMember> members = walk.members(id);
    for (auto& [key, part] : given.items()) {
      const BtfMember* member = nullptr;
      std::vector<std::string> names;
      for (auto& each : members) {
        names.push_back(each.name);
        if (each.name == key) member = &each;
      }
      if (!member) wrong(path, walk.name(id) + " has no member \"" + printable(key, false) + "\"; it has " + joined(names));
      std::string name = path + "." + key;
      if (member->inUnion) wrong(name, "it lies in a union, which can't be set; the whole variable's bytes can: -g NAME=HEX");
      write(member->type, part, {place.bit + member->bit, member->bits}, name, depth + 1);
    }
  }
};

// A bare word is a string; what was meant to be more is not.
Json jsonFrom(const std::string& text, const std::string& path) {
  Json given = Json::parse(text, nullptr, false);
  if (!given.is_discarded()) return given;
  size_t first = text.find_first_not_of(" \t\n");
  if (first == text.npos || !strchr("{[\"", text[first])) return text;
  wrong(path, "the value is no valid JSON");
}

}  // namespace

void writeJson(const btf* types, uint32_t type, const std::string& name, const std::string& json, std::span<unsigned char> value,
               std::span<unsigned char> mask) {
  Writer(types, value, mask).write(type, jsonFrom(json, name), {0, 0}, name, 0);
}

}  // namespace bpfman
