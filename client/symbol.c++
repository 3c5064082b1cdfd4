#include "client/symbol.h"
#include "client/error.h"

#include <kj/debug.h>
#include <kj/io.h>

#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bpfman {
namespace {

// Of a defined function, in .symtab or else .dynsym; its address, or none.
kj::Maybe<uint64_t> addressOf(Elf* elf, kj::StringPtr function) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) || !header.sh_entsize) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; ++i) {
      GElf_Sym symbol;
      if (!gelf_getsym(data, i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name && function == name) return symbol.st_value;
    }
  }
  return nullptr;
}

}  // namespace

uint64_t offsetOf(kj::StringPtr path, kj::StringPtr function) {
  kj::AutoCloseFd file(open(path.cStr(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail(kj::str("open ", path, ": ", strerror(errno)));
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(file, ELF_C_READ_MMAP, nullptr);
  KJ_DEFER(elf_end(elf));
  if (!elf || elf_kind(elf) != ELF_K_ELF) fail(kj::str(path, " is no ELF binary"));
  KJ_IF_MAYBE (address, addressOf(elf, function)) {
    size_t count = 0;
    elf_getphdrnum(elf, &count);
    for (size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf, i, &segment) && segment.p_type == PT_LOAD && *address >= segment.p_vaddr &&
          *address - segment.p_vaddr < segment.p_filesz)
        return *address - segment.p_vaddr + segment.p_offset;
    }
  }
  fail(kj::str(path, " has no function \"", function, "\": 'nm' or 'nm -D' lists those that it has; without symbols, give --offset"));
}

}  // namespace bpfman
