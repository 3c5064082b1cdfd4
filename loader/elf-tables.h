// The tables of an object that nobody has checked: what lies outside of it counts as not there.
#pragma once

#include <cstring>
#include <elf.h>
#include <span>
#include <string>
#include <string_view>

namespace bpfman {

class ElfTables {
 public:
  explicit ElfTables(std::span<const unsigned char> elf) : elf(elf) { at(elf, 0, header); }

  template <typename Use>
  void eachSymbol(Use&& use) const {  // use(its name, its section's name, the symbol)
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr table = section(i), strings = section(table.sh_link);
      if (table.sh_type != SHT_SYMTAB) continue;
      Elf64_Sym symbol{};
      for (uint64_t offset = 0; offset + sizeof symbol <= table.sh_size; offset += sizeof symbol) {
        if (!at(elf, table.sh_offset + offset, symbol)) break;
        use(text(strings, symbol.st_name), text(section(header.e_shstrndx), section(symbol.st_shndx).sh_name), symbol);
      }
    }
  }

  std::span<const unsigned char> sectionNamed(std::string_view name) const {
    for (unsigned i = 0; i < header.e_shnum; ++i)
      if (Elf64_Shdr found = section(i); text(section(header.e_shstrndx), found.sh_name) == name && contains(found))
        return elf.subspan(found.sh_offset, found.sh_size);
    return {};
  }

  template <typename T>
  static bool at(std::span<const unsigned char> bytes, uint64_t offset, T& value) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof value) return false;
    memcpy(&value, bytes.data() + offset, sizeof value);
    return true;
  }

 private:
  std::span<const unsigned char> elf;
  Elf64_Ehdr header{};

  bool contains(const Elf64_Shdr& section) const {
    return section.sh_offset <= elf.size() && elf.size() - section.sh_offset >= section.sh_size;
  }
  Elf64_Shdr section(uint32_t index) const {
    Elf64_Shdr result{};
    if (index < header.e_shnum) at(elf, header.e_shoff + uint64_t{index} * sizeof result, result);
    return result;
  }
  std::string text(const Elf64_Shdr& strings, uint32_t offset) const {
    if (offset >= strings.sh_size || !contains(strings)) return "";
    auto* start = reinterpret_cast<const char*>(elf.data() + strings.sh_offset + offset);
    return {start, strnlen(start, strings.sh_size - offset)};
  }
};

}  // namespace bpfman
