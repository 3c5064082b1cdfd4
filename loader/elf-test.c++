#include <vector>

#include <elf.h>
#include <gtest/gtest.h>

#include "loader/elf.h"
#include "loader/probes.h"
#include "loader/refusal.h"

namespace bpfman {

static std::string reasonFor(const Elf64_Ehdr& header, size_t size = sizeof(Elf64_Ehdr)) {
  auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  try {
    requireBpfObject({bytes, size});
  } catch (const Refusal& refusal) { return refusal.reason; }
  return "";
}

static Elf64_Ehdr good() {
  Elf64_Ehdr header{};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_BPF;
  header.e_type = ET_REL;
  return header;
}

TEST(Elf, SaysWhatIsWrongWithBytecodeThatIsNoneForThisMachine) {
  Elf64_Ehdr header = good();
  EXPECT_EQ(reasonFor(header), "");
  EXPECT_NE(reasonFor(header, 20).find("truncated"), std::string::npos);
  EXPECT_NE(reasonFor(header, 0).find("not an ELF object"), std::string::npos);
  header.e_machine = EM_X86_64;
  EXPECT_NE(reasonFor(header).find("machine 62"), std::string::npos);
  header = good();
  header.e_ident[EI_DATA] = ELFDATA2MSB;
  EXPECT_NE(reasonFor(header).find("big-endian"), std::string::npos);
  header = good();
  header.e_type = ET_EXEC;
  EXPECT_NE(reasonFor(header).find("linked"), std::string::npos);
  header = good();
  header.e_shoff = sizeof header;
  header.e_shnum = 1;
  header.e_shentsize = sizeof(Elf64_Shdr);
  EXPECT_NE(reasonFor(header).find("section headers"), std::string::npos);
}

TEST(Probes, ReadsReleases) {
  EXPECT_EQ(versionOf("6.12.3+deb13-amd64"), 6u << 16 | 12);
  EXPECT_EQ(versionOf("6.1-rc3"), 6u << 16 | 1);
  EXPECT_EQ(versionOf("linux"), 0u);
  EXPECT_EQ(versionOf(""), 0u);
}

}  // namespace bpfman
