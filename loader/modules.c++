#include "loader/modules.h"

#include <algorithm>
#include <cerrno>

#include "loader/elf-tables.h"

namespace bpfman {

namespace {

// "name___mine" is the object's own version of the kernel's "name".
std::string kernelName(const char* name) {
  std::string_view text = name ? name : "";
  return std::string(text.substr(0, text.find("___")));
}

// .BTF.ext ends with records of what is relocated, section by section. libbpf has read it, but shows it to nobody.
template <typename Use>
void eachRelocation(std::span<const unsigned char> bytes, Use&& use) {
  struct {
    uint16_t magic;
    uint8_t version, flags;
    uint32_t headerLength, parts[4], relocationsOffset, relocationsLength;
  } header{};
  if (!ElfTables::at(bytes, 0, header) || header.headerLength < sizeof header) return;
  uint64_t offset = uint64_t{header.headerLength} + header.relocationsOffset, end = offset + header.relocationsLength;
  uint32_t record, section[2];  // a section's name, and how many it has
  bpf_core_relo relocation;
  if (!ElfTables::at(bytes, offset, record) || record < sizeof relocation) return;
  for (offset += sizeof record; offset < end && ElfTables::at(bytes, offset, section);) {
    offset += sizeof section;
    for (uint32_t i = 0; i < section[1] && ElfTables::at(bytes, offset, relocation); ++i, offset += record) use(relocation);
  }
}

}  // namespace

KernelNames kernelNamesOf(const btf* types, std::span<const unsigned char> elf) {
  KernelNames names;
  ElfTables tables(elf);
  tables.eachSymbol([&](const std::string& name, const std::string&, const Elf64_Sym& symbol) {
    if (symbol.st_shndx == SHN_UNDEF && !name.empty()) names.symbols.insert(kernelName(name.c_str()));
  });
  if (!types) return names;
  eachRelocation(tables.sectionNamed(".BTF.ext"), [&](const bpf_core_relo& relocation) {
    const btf_type* type = btf__type_by_id(types, relocation.type_id);
    if (type) names.types.insert(kernelName(btf__name_by_offset(types, type->name_off)));
  });
  names.types.erase("");
  return names;
}

uint32_t Modules::after(uint32_t number) {
  if (!asked) asked = true, found = ask();
  return number < found.size() ? number + 1 : 0;
}

long Modules::describe(uint32_t number, bpf_btf_info& info) const {
  const Module& module = found[number - 1];
  if (info.name) {
    if (info.name_len <= module.name.size()) return -ENOSPC;
    memcpy(reinterpret_cast<char*>(info.name), module.name.c_str(), module.name.size() + 1);
  }
  if (info.btf) memcpy(reinterpret_cast<void*>(info.btf), module.types.data(), std::min<size_t>(info.btf_size, module.types.size()));
  info.btf_size = module.types.size();
  info.id = number;
  info.name_len = module.name.size();
  info.kernel_btf = 1;
  return 0;
}

}  // namespace bpfman
