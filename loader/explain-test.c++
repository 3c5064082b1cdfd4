#include <cerrno>

#include <gtest/gtest.h>

#include "loader/explain.h"

namespace bpfman {

TEST(Explain, CutsALongLogInItsMiddleAndSaysHowMuch) {
  std::string log;
  for (int i = 0; log.size() < 100000; ++i) log += "line " + std::to_string(i) + "\n";
  std::string cut = cutInTheMiddle(log, 10000);
  EXPECT_LE(cut.size(), 10000u);
  EXPECT_TRUE(cut.starts_with("line 0\nline 1\n"));
  EXPECT_TRUE(cut.ends_with(log.substr(log.size() - 1000)));
  EXPECT_NE(cut.find(" bytes left out ...]\nline "), std::string::npos);
  EXPECT_EQ(cutInTheMiddle(log, log.size()), log);
}

TEST(Explain, SaysWhereTheVerifierStoppedAndWhy) {
  const std::string log =
      "0: R1=ctx() R10=fp0\n; if (data + 4 > end) @ fw.bpf.c:11\n0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx()\n"
      "; return data[0] == 1; @ fw.bpf.c:12\n5: (71) r0 = *(u8 *)(r2 +0)\ninvalid access to packet, off=0 size=1\n"
      "R2 offset is outside of the packet\nprocessed 6 insns (limit 1000000)\nstack depth 0\n\n";
  EXPECT_EQ(summaryOf(log),
            "source:      fw.bpf.c:12\n             return data[0] == 1;\ninstruction: 5: (71) r0 = *(u8 *)(r2 +0)\n"
            "verifier:    R2 offset is outside of the packet\n");
  EXPECT_EQ(summaryOf("; x = 1;\n3: (b7) r1 = 1  ; R1_w=1\nwrong\n"),
            "source:      x = 1;\ninstruction: 3: (b7) r1 = 1\nverifier:    wrong\n");
  EXPECT_EQ(summaryOf("3: (b7) r1 = 1\nwrong\x1b\n"), "instruction: 3: (b7) r1 = 1\nverifier:    wrong?\n");
  EXPECT_EQ(summaryOf("Unknown attach type\n"), "");
  EXPECT_EQ(summaryOf(""), "");
}

TEST(Explain, LeavesNoControlCharacterOfTheObjectsAuthor) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\xff", false), "a?[31mb?c?");
  EXPECT_EQ(printable("a\nb\tc", true), "a\nb\tc");
}

}  // namespace bpfman
