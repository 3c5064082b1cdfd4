// The section .xdp_run_config has a struct named _FUNCTION, whose members are pointers to arrays: an array's length is the member's number
// (libbpf's __uint).
#include "loader/run-config.h"

#include <string_view>

#include <bpf/btf.h>

namespace bpfman {

namespace {

constexpr std::string_view ACTIONS[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};  // by verdict

const btf_type* structNamed(const btf* types, const std::string& name) {
  for (unsigned id = 1; id < btf__type_cnt(types); ++id) {
    const btf_type* section = btf__type_by_id(types, id);
    if (!btf_is_datasec(section) || btf__name_by_offset(types, section->name_off) != std::string_view(".xdp_run_config")) continue;
    const btf_var_secinfo* info = btf_var_secinfos(section);
    for (unsigned i = 0; i < btf_vlen(section); ++i) {
      const btf_type* variable = btf__type_by_id(types, info[i].type);
      if (!variable || !btf_is_var(variable) || btf__name_by_offset(types, variable->name_off) != name) continue;
      const btf_type* type = btf__type_by_id(types, variable->type);
      return type && btf_is_struct(type) ? type : nullptr;
    }
  }
  return nullptr;
}

uint32_t numberOf(const btf* types, const btf_member& member) {
  const btf_type* pointer = btf__type_by_id(types, member.type);
  const btf_type* array = pointer && btf_is_ptr(pointer) ? btf__type_by_id(types, pointer->type) : nullptr;
  return array && btf_is_array(array) ? btf_array(array)->nelems : 0;
}

}  // namespace

RunConfig runConfigOf(const bpf_object* object, const std::string& function) {
  RunConfig config;
  const btf* types = bpf_object__btf(object);
  const btf_type* found = types ? structNamed(types, "_" + function) : nullptr;
  for (unsigned i = 0; found && i < btf_vlen(found); ++i) {
    const btf_member& member = btf_members(found)[i];
    std::string_view name = btf__name_by_offset(types, member.name_off);
    uint32_t number = numberOf(types, member);
    if (name == "priority" && number <= INT32_MAX) config.priority = static_cast<int32_t>(number);
    for (unsigned verdict = 0; verdict < std::size(ACTIONS); ++verdict)
      if (name == ACTIONS[verdict] && number != 0) config.proceedOn |= 1u << verdict;
  }
  return config;
}

}  // namespace bpfman
