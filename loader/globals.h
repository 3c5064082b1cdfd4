// Global variables of an object before it is loaded: where they are, as its BTF lists them, or else its symbols.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

namespace bpfman {

struct Variable {
  std::string section;             // its map: ".data", …
  uint32_t offset;                 // in the map's only element
  uint32_t type;                   // its id in the object's BTF; 0: the object has none
  std::span<unsigned char> bytes;  // what the map will begin with
};

class Variables {
 public:
  Variables(const bpf_object* object, std::span<const unsigned char> elf);

  const std::map<std::string, Variable>& all() const { return byName; }
  const Variable& find(const std::string& name) const;  // or throws a Refusal that names what there is
  void set(const std::string& name, std::span<const unsigned char> value) const;
  // Exactly as many bytes as the variable has, or throws a Refusal.

 private:
  std::map<std::string, Variable> byName;

  void addSection(const bpf_object* object, const btf_type* section, const char* name);
  void addSymbols(const bpf_object* object, std::span<const unsigned char> elf);
};

}  // namespace bpfman
