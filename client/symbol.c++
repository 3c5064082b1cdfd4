#include "client/symbol.h"
#include "client/error.h"

#include <kj/debug.h>
#include <kj/io.h>

#include <fcntl.h>
#include <fnmatch.h>
#include <gelf.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <set>

namespace bpfman {
namespace {

class ElfFile {
 public:
  explicit ElfFile(kj::StringPtr path) : path(path), file(open(path.cStr(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (file.get() < 0) fail(kj::str("open ", path, ": ", strerror(errno)));
    elf_version(EV_CURRENT);
    elf = elf_begin(file, ELF_C_READ_MMAP, nullptr);
    if (elf && elf_kind(elf) == ELF_K_ELF) return;
    elf_end(elf);
    fail(kj::str(path, " is no ELF binary"));
  }
  ~ElfFile() { elf_end(elf); }
  KJ_DISALLOW_COPY(ElfFile);

  void forEachSection(const std::function<void(Elf_Scn* section, const GElf_Shdr& header)>& each) const {
    for (Elf_Scn* section = elf_nextscn(elf, nullptr); section; section = elf_nextscn(elf, section)) {
      GElf_Shdr header;
      if (gelf_getshdr(section, &header)) each(section, header);
    }
  }

  const char* nameOf(const GElf_Shdr& header) const {
    size_t strings;
    const char* name = elf_getshdrstrndx(elf, &strings) == 0 ? elf_strptr(elf, strings, header.sh_name) : nullptr;
    return name ? name : "";
  }

  // Defined functions in .symtab and .dynsym.
  void forEachFunction(const std::function<void(const char* name, uint64_t address, uint64_t size)>& each) const {
    forEachSection([&](Elf_Scn* section, const GElf_Shdr& header) {
      if ((header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) || !header.sh_entsize) return;
      Elf_Data* data = elf_getdata(section, nullptr);
      for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; ++i) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
        if (const char* name = elf_strptr(elf, header.sh_link, symbol.st_name)) each(name, symbol.st_value, symbol.st_size);
      }
    });
  }

  kj::Maybe<uint64_t> offsetOf(uint64_t address) const {
    size_t count = 0;
    elf_getphdrnum(elf, &count);
    for (size_t i = 0; i < count; ++i) {
      GElf_Phdr segment;
      if (gelf_getphdr(elf, i, &segment) && segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address - segment.p_vaddr < segment.p_filesz)
        return address - segment.p_vaddr + segment.p_offset;
    }
    return nullptr;
  }

 private:
  kj::StringPtr path;
  kj::AutoCloseFd file;
  Elf* elf = nullptr;
};

// One note of .note.stapsdt: three addresses, then provider, name and arguments, each with its NUL.
struct Note {
  uint64_t address, base, semaphore;
  const char *provider, *name, *arguments;
};

kj::Maybe<Note> noteFrom(const char* bytes, size_t size) {
  Note note{};
  constexpr size_t addresses = 3 * sizeof(uint64_t);
  if (size <= addresses || bytes[size - 1] != 0) return nullptr;
  memcpy(&note, bytes, addresses);
  const char *word = bytes + addresses, *end = bytes + size;
  for (const char** field : {&note.provider, &note.name, &note.arguments}) {
    if (word >= end) return nullptr;
    *field = word;
    word += strlen(word) + 1;
  }
  return note;
}

}  // namespace

uint64_t offsetOf(kj::StringPtr path, kj::StringPtr function, uint64_t within) {
  ElfFile elf(path);
  kj::Maybe<uint64_t> found;
  elf.forEachFunction([&](const char* name, uint64_t address, uint64_t size) {
    if (found != nullptr || function != name) return;
    if (size > 0 && within >= size)
      fail(kj::str("offset ", within, " is outside of ", path, "'s function ", function, ", which has ", size, " bytes"));
    found = elf.offsetOf(address);
  });
  KJ_IF_MAYBE (offset, found) return *offset + within;
  fail(kj::str(path, " has no function \"", function, "\": 'nm' or 'nm -D' lists those that it has; without symbols, give --offset"));
}

std::vector<uint64_t> offsetsOf(kj::StringPtr path, std::span<const std::string> patterns) {
  ElfFile elf(path);
  std::set<uint64_t> found;
  std::vector<bool> used(patterns.size());
  elf.forEachFunction([&](const char* name, uint64_t address, uint64_t) {
    for (size_t i = 0; i < patterns.size(); ++i)
      if (fnmatch(patterns[i].c_str(), name, 0) == 0)
        KJ_IF_MAYBE (offset, elf.offsetOf(address)) found.insert(*offset), used[i] = true;
  });
  for (size_t i = 0; i < patterns.size(); ++i)
    if (!used[i])
      fail(kj::str(path, " has no function that matches \"", patterns[i].c_str(), "\": 'nm' or 'nm -D' lists those that it has"));
  return {found.begin(), found.end()};
}

// What a prelinker moved is as far away as the section .stapsdt.base from where the note says that it was.
std::vector<StaticProbe> staticProbesOf(kj::StringPtr path, kj::StringPtr provider, kj::StringPtr name) {
  ElfFile elf(path);
  uint64_t base = 0;
  elf.forEachSection([&](Elf_Scn*, const GElf_Shdr& header) {
    if (strcmp(elf.nameOf(header), ".stapsdt.base") == 0) base = header.sh_addr;
  });
  std::vector<StaticProbe> found;
  elf.forEachSection([&](Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data =
        header.sh_type == SHT_NOTE && strcmp(elf.nameOf(header), ".note.stapsdt") == 0 ? elf_getdata(section, nullptr) : nullptr;
    GElf_Nhdr head;
    size_t label, content;
    for (size_t at = 0, next; data && (next = gelf_getnote(data, at, &head, &label, &content)) > 0; at = next) {
      KJ_IF_MAYBE (note, noteFrom(static_cast<const char*>(data->d_buf) + content, head.n_descsz)) {
        if (provider != note->provider || name != note->name) continue;
        uint64_t moved = base ? base - note->base : 0;
        KJ_IF_MAYBE (offset, elf.offsetOf(note->address + moved)) {
          uint64_t semaphore = note->semaphore ? elf.offsetOf(note->semaphore + moved).orDefault(0) : 0;
          found.push_back({*offset, semaphore, note->arguments});
        }
      }
    }
  });
  if (found.empty()) fail(kj::str(path, " has no static probe ", provider, ':', name, ": 'readelf -n' lists those that it has"));
  return found;
}

}  // namespace bpfman
