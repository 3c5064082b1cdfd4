#include "loader/struct-ops.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/bpf.h>
#include <set>

#include <bpf/btf.h>

#include "loader/explain.h"
#include "loader/refusal.h"

namespace bpfman {

namespace {

// "name___mine" is the object's own version of the kernel's "name".
std::string kernelName(const char* name) {
  std::string text = name;
  return text.substr(0, text.find("___"));
}

bool isStructOps(const bpf_map* map) { return bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS; }

}  // namespace

std::vector<StructOpsFunction> functionsOf(bpf_object* object) {
  std::vector<StructOpsFunction> found;
  const btf* types = bpf_object__btf(object);
  std::set<const void*> programs;
  bpf_program* program;
  bpf_object__for_each_program(program, object) programs.insert(program);
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (!isStructOps(map)) continue;
    size_t size = 0;
    auto* value = static_cast<const char*>(bpf_map__initial_value(map, &size));
    const btf_type* type = btf__type_by_id(types, bpf_map__btf_value_type_id(map));
    if (!value || !type || !btf_is_struct(type)) continue;
    for (uint32_t i = 0; i < btf_vlen(type); ++i) {
      size_t offset = btf_member_bit_offset(type, i) / 8;
      void* there = nullptr;  // libbpf keeps its program where the kernel wants its descriptor
      if (offset + sizeof there <= size) memcpy(&there, value + offset, sizeof there);
      if (!programs.count(there)) continue;
      found.push_back({map, static_cast<bpf_program*>(there),
                       kernelName(btf__name_by_offset(types, type->name_off)) + "." +
                           kernelName(btf__name_by_offset(types, btf_members(type)[i].name_off))});
    }
  }
  return found;
}

void chooseStructOps(bpf_object* object, const std::vector<bpf_program*>& wanted) {
  auto functions = functionsOf(object);
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (!isStructOps(map)) continue;
    std::string missing;
    bool any = false;
    for (auto& function : functions) {
      if (function.map != map) continue;
      bool has = std::ranges::find(wanted, function.program) != wanted.end();
      any |= has;
      if (!has) missing += std::string(missing.empty() ? "" : " ") + printable(bpf_program__name(function.program), false);
    }
    if (any && !missing.empty())
      throw Refusal{"struct_ops \"" + std::string(bpf_map__name(map)) + "\" also has [" + missing +
                    "]: the kernel takes all of its functions together; load those too, or use --all-programs"};
    bpf_map__set_autocreate(map, any);
    bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_LINK);  // it is attached by a link, later
  }
}

int fillStructOps(bpf_object* object) {
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    if (!isStructOps(map) || !bpf_map__autocreate(map)) continue;
    bpf_link* link = bpf_map__attach_struct_ops(map);
    if (!link) return -errno;
    bpf_link__disconnect(link);
    bpf_link__destroy(link);
  }
  return 0;
}

}  // namespace bpfman
