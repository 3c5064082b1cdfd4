#include "loader/globals.h"

#include <cstring>
#include <elf.h>
#include <string_view>

#include "loader/refusal.h"
#include "loader/warnings.h"

namespace bpfman {

namespace {

constexpr size_t MAX_NAMED = 200;

bool holdsGlobals(std::string_view section) {
  for (std::string_view name : {".rodata", ".data", ".bss"})
    if (section.starts_with(name) && (section.size() == name.size() || section[name.size()] == '.')) return true;
  return false;
}

std::span<unsigned char> initialValue(const bpf_object* object, const char* section) {
  bpf_map* map = bpf_object__find_map_by_name(object, section);
  size_t size = 0;
  auto* bytes = map ? static_cast<unsigned char*>(bpf_map__initial_value(map, &size)) : nullptr;
  return bytes ? std::span(bytes, size) : std::span<unsigned char>();
}

// The tables of an object that nobody has checked: what lies outside of it counts as not there.
class SymbolTable {
 public:
  explicit SymbolTable(std::span<const unsigned char> elf) : elf(elf) { at(0, header); }

  template <typename Use>
  void eachObject(Use&& use) const {
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr table = section(i), strings = section(table.sh_link);
      if (table.sh_type != SHT_SYMTAB) continue;
      Elf64_Sym symbol{};
      for (uint64_t offset = 0; offset + sizeof symbol <= table.sh_size; offset += sizeof symbol) {
        if (!at(table.sh_offset + offset, symbol)) break;
        if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT) continue;
        use(text(strings, symbol.st_name), text(section(header.e_shstrndx), section(symbol.st_shndx).sh_name), symbol);
      }
    }
  }

 private:
  std::span<const unsigned char> elf;
  Elf64_Ehdr header{};

  template <typename T>
  bool at(uint64_t offset, T& value) const {
    if (offset > elf.size() || elf.size() - offset < sizeof value) return false;
    memcpy(&value, elf.data() + offset, sizeof value);
    return true;
  }
  Elf64_Shdr section(uint32_t index) const {
    Elf64_Shdr result{};
    if (index < header.e_shnum) at(header.e_shoff + uint64_t{index} * sizeof result, result);
    return result;
  }
  std::string text(const Elf64_Shdr& strings, uint32_t offset) const {
    if (offset >= strings.sh_size || strings.sh_offset > elf.size() || elf.size() - strings.sh_offset < strings.sh_size) return "";
    auto* start = reinterpret_cast<const char*>(elf.data() + strings.sh_offset + offset);
    return {start, strnlen(start, strings.sh_size - offset)};
  }
};

}  // namespace

Variables::Variables(const bpf_object* object, std::span<const unsigned char> elf) {
  const btf* types = bpf_object__btf(object);
  if (!types) addSymbols(object, elf);
  for (unsigned id = 1; types && id < btf__type_cnt(types); ++id) {
    const btf_type* type = btf__type_by_id(types, id);
    const char* name = btf__name_by_offset(types, type->name_off);
    if (btf_is_datasec(type) && name && holdsGlobals(name)) addSection(object, type, name);
  }
}

void Variables::addSection(const bpf_object* object, const btf_type* section, const char* name) {
  const btf* types = bpf_object__btf(object);
  std::span<unsigned char> bytes = initialValue(object, name);
  const btf_var_secinfo* info = btf_var_secinfos(section);
  for (unsigned i = 0; i < btf_vlen(section); ++i, ++info) {
    const btf_type* variable = btf__type_by_id(types, info->type);
    if (!variable || !btf_is_var(variable) || info->offset > bytes.size() || bytes.size() - info->offset < info->size) continue;
    byName.emplace(btf__name_by_offset(types, variable->name_off),
                   Variable{name, info->offset, info->type, bytes.subspan(info->offset, info->size)});
  }
}

void Variables::addSymbols(const bpf_object* object, std::span<const unsigned char> elf) {
  SymbolTable(elf).eachObject([&](const std::string& name, const std::string& section, const Elf64_Sym& symbol) {
    if (!holdsGlobals(section)) return;
    std::span<unsigned char> bytes = initialValue(object, section.c_str());
    if (name.empty() || symbol.st_value > bytes.size() || bytes.size() - symbol.st_value < symbol.st_size) return;
    byName.emplace(name, Variable{section, static_cast<uint32_t>(symbol.st_value), 0, bytes.subspan(symbol.st_value, symbol.st_size)});
  });
}

const Variable& Variables::find(const std::string& name) const {
  auto variable = byName.find(name);
  if (variable != byName.end()) return variable->second;
  std::string available;
  size_t named = 0;
  for (auto& [known, there] : byName)
    if (named++ < MAX_NAMED) available += (available.empty() ? "" : " ") + printable(known, false);
  if (named > MAX_NAMED) available += " and " + std::to_string(named - MAX_NAMED) + " more";
  throw Refusal{"global variable \"" + name + "\" not found in program; available: [" + available + "]"};
}

void Variables::set(const std::string& name, std::span<const unsigned char> value) const {
  std::span<unsigned char> bytes = find(name).bytes;
  if (bytes.size() != value.size())
    throw Refusal{"global variable \"" + name + "\" has " + std::to_string(bytes.size()) + " bytes, the value has " +
                  std::to_string(value.size())};
  memcpy(bytes.data(), value.data(), value.size());
}

}  // namespace bpfman
