#include "loader/globals.h"

#include <cstring>
#include <string_view>

#include "loader/elf-tables.h"
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
  ElfTables(elf).eachSymbol([&](const std::string& name, const std::string& section, const Elf64_Sym& symbol) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT || !holdsGlobals(section)) return;
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
