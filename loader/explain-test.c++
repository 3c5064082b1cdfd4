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

TEST(Explain, LeavesNoControlCharacterOfTheObjectsAuthor) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\xff", false), "a?[31mb?c?");
  EXPECT_EQ(printable("a\nb\tc", true), "a\nb\tc");
}

}  // namespace bpfman
