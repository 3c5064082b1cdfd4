#include "loader/elf.h"

#include <cstring>
#include <elf.h>

#include "loader/refusal.h"

namespace bpfman {

void requireBpfObject(std::span<const unsigned char> object) {
  if (object.size() < SELFMAG || memcmp(object.data(), ELFMAG, SELFMAG) != 0)
    throw Refusal{"bytecode is not an ELF object: compile with clang -target bpf and pass the .o file"};
  Elf64_Ehdr header;
  if (object.size() < sizeof header)
    throw Refusal{"bytecode is truncated: an ELF header is longer than " + std::to_string(object.size()) + " bytes"};
  memcpy(&header, object.data(), sizeof header);

  constexpr bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  if (header.e_ident[EI_DATA] != (little ? ELFDATA2LSB : ELFDATA2MSB))
    throw Refusal{little ? "bytecode is big-endian and this machine is little-endian: compile with clang -target bpfel"
                         : "bytecode is little-endian and this machine is big-endian: compile with clang -target bpfeb"};
  if (header.e_ident[EI_CLASS] != ELFCLASS64) throw Refusal{"bytecode is not a 64-bit ELF object: compile with clang -target bpf"};
  if (header.e_machine != EM_BPF)
    throw Refusal{"bytecode is an ELF object for machine " + std::to_string(header.e_machine) +
                  ", not for BPF (247): compile with clang -target bpf"};
  if (header.e_type != ET_REL)
    throw Refusal{"bytecode is linked (ELF type " + std::to_string(header.e_type) + "): pass the relocatable .o file"};
  if (header.e_shoff > object.size() || object.size() - header.e_shoff < uint64_t{header.e_shnum} * header.e_shentsize)
    throw Refusal{"bytecode is truncated: its section headers lie behind its end (" + std::to_string(object.size()) + " bytes)"};
}

}  // namespace bpfman
