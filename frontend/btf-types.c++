#include "frontend/btf-types.h"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

namespace bpfman {

static constexpr size_t MAX_BTF = 128 << 20;

std::vector<char> readBtf(int descriptor) {
  struct stat status;
  KJ_SYSCALL(fstat(descriptor, &status));
  std::vector<char> all(std::min<size_t>(status.st_size, MAX_BTF) + 1);  // one more, to see its end
  for (size_t used = 0;;) {
    if (used == all.size()) {
      KJ_REQUIRE(used < MAX_BTF, "the kernel's BTF is larger than 128 MiB");
      all.resize(2 * used);
    }
    ssize_t got;
    KJ_SYSCALL(got = pread(descriptor, all.data() + used, all.size() - used, used));
    if (got == 0) {
      all.resize(used);
      return all;
    }
    used += got;
  }
}

BtfSections btfSections(std::span<const char> bytes, bool onBase) {
  btf_header header;
  KJ_REQUIRE(bytes.size() >= sizeof(header), "the kernel's BTF is cut", bytes.size());
  memcpy(&header, bytes.data(), sizeof(header));
  KJ_REQUIRE(header.magic == BTF_MAGIC && header.version == BTF_VERSION, "not BTF", header.magic, header.version);
  KJ_REQUIRE(header.hdr_len >= sizeof(header) && header.hdr_len <= bytes.size(), "the kernel's BTF is cut", header.hdr_len);
  auto body = bytes.subspan(header.hdr_len);
  auto section = [&](uint64_t offset, uint64_t size) {
    KJ_REQUIRE(offset + size <= body.size(), "the kernel's BTF is cut", offset, size, body.size());
    return body.subspan(offset, size);
  };
  BtfSections found{section(header.type_off, header.type_len), section(header.str_off, header.str_len)};
  bool ends = found.strings.empty() ? onBase : found.strings.back() == '\0';
  KJ_REQUIRE(ends, "the kernel's BTF has no end of strings");
  return found;
}

size_t btfTailOf(uint32_t kind, uint32_t count) {
  switch (kind) {
    case BTF_KIND_INT: return sizeof(uint32_t);
    case BTF_KIND_ARRAY: return sizeof(btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION: return count * sizeof(btf_member);
    case BTF_KIND_ENUM: return count * sizeof(btf_enum);
    case BTF_KIND_ENUM64: return count * sizeof(btf_enum64);
    case BTF_KIND_FUNC_PROTO: return count * sizeof(btf_param);
    case BTF_KIND_VAR: return sizeof(btf_var);
    case BTF_KIND_DATASEC: return count * sizeof(btf_var_secinfo);
    case BTF_KIND_DECL_TAG: return sizeof(btf_decl_tag);
    default: return 0;
  }
}

}  // namespace bpfman
