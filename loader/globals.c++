#include "loader/globals.h"

#include <cstring>
#include <map>
#include <string_view>

#include <bpf/btf.h>

#include "loader/refusal.h"

namespace bpfman {

namespace {

using Variables = std::map<std::string, std::span<unsigned char>>;

bool holdsGlobals(std::string_view section) {
  for (std::string_view name : {".rodata", ".data", ".bss"})
    if (section.starts_with(name) && (section.size() == name.size() || section[name.size()] == '.')) return true;
  return false;
}

void addSection(Variables& variables, const bpf_object* object, const btf* types, const btf_type* section, const char* name) {
  bpf_map* map = bpf_object__find_map_by_name(object, name);
  size_t size = 0;
  auto* bytes = map ? static_cast<unsigned char*>(bpf_map__initial_value(map, &size)) : nullptr;
  if (!bytes) return;
  const btf_var_secinfo* info = btf_var_secinfos(section);
  for (unsigned i = 0; i < btf_vlen(section); ++i, ++info) {
    const btf_type* variable = btf__type_by_id(types, info->type);
    if (!variable || !btf_is_var(variable) || info->offset > size || size - info->offset < info->size) continue;
    variables.emplace(btf__name_by_offset(types, variable->name_off), std::span(bytes + info->offset, info->size));
  }
}

Variables variablesOf(const bpf_object* object) {
  Variables variables;
  const btf* types = bpf_object__btf(object);
  for (unsigned id = 1; types && id < btf__type_cnt(types); ++id) {
    const btf_type* type = btf__type_by_id(types, id);
    const char* name = btf__name_by_offset(types, type->name_off);
    if (btf_is_datasec(type) && name && holdsGlobals(name)) addSection(variables, object, types, type, name);
  }
  return variables;
}

}  // namespace

void setGlobal(const bpf_object* object, const std::string& name, std::span<const unsigned char> value) {
  Variables variables = variablesOf(object);
  auto variable = variables.find(name);
  if (variable == variables.end()) {
    std::string available;
    for (auto& [known, bytes] : variables) available += (available.empty() ? "" : " ") + known;
    throw Refusal{"global variable \"" + name + "\" not found in program; available: [" + available + "]"};
  }
  std::span<unsigned char> bytes = variable->second;
  if (bytes.size() != value.size())
    throw Refusal{"global variable \"" + name + "\" has " + std::to_string(bytes.size()) + " bytes, the value has " +
                  std::to_string(value.size())};
  memcpy(bytes.data(), value.data(), value.size());
}

}  // namespace bpfman
