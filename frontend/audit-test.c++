#include "frontend/audit.h"

#include "frontend/catalog-fixture.h"

namespace bpfman {
namespace {

using AuditTest = InTemporaryDirectory;

AuditLine attached(uint32_t program, uint32_t link, std::string result = "ok") {
  return {"attach", {program}, {link}, {}, "lan0", "", result};
}

TEST_F(AuditTest, FindsByEachField) {
  Audit audit("audit.log", 1 << 20, 2);
  audit.write(0, 10, "host", {"load", {12, 13}, {}, {7}, "a.o", "ff", "ok"});
  audit.write(1000, 11, "host", attached(12, 1));
  audit.write(1000, 11, "blue", attached(1, 12, "no such interface"));
  audit.write(100, 11, "host", {"denied", {}, {}, {}, "\"uid\":0, \"action\":\"load\",\n", "", "denied"});
  EXPECT_EQ(audit.read({}, 100).size(), 4u);
  EXPECT_EQ(audit.read({}, 2).size(), 2u);
  EXPECT_NE(audit.read({}, 2)[1].find("denied"), std::string::npos);
  EXPECT_EQ(audit.read({.uid = 1000u}, 100).size(), 2u);
  EXPECT_EQ(audit.read({.uid = 100u}, 100).size(), 1u);
  EXPECT_EQ(audit.read({.uid = 0u}, 100).size(), 1u) << "what a client wrote must not look like a key";
  EXPECT_EQ(audit.read({.program = 12u}, 100).size(), 2u);
  EXPECT_EQ(audit.read({.program = 2u}, 100).size(), 0u);
  EXPECT_EQ(audit.read({.link = 12u}, 100).size(), 1u);
  EXPECT_EQ(audit.read({.action = "attach"}, 100).size(), 2u);
  EXPECT_EQ(audit.read({.action = "attach", .failedOnly = true}, 100).size(), 1u);
  EXPECT_EQ(audit.read({.since = "2020"}, 100).size(), 4u);
  EXPECT_EQ(audit.read({.since = "9"}, 100).size(), 0u);
}

TEST_F(AuditTest, SaysWhereTheCallerIsOrWhyThatIsNotKnown) {
  Audit audit("audit.log", 1 << 20, 2);
  AuditLine line = attached(1, 1);
  line.where = {77, 4026531837, 4026531840, ""};
  audit.write(0, 10, "host", line);
  audit.deny(0, 10, "host", "look", {0, 0, 0, "it has ended"});
  auto lines = audit.read({}, 10);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find(R"("cgroup":77,"user_namespace":4026531837,"network_namespace":4026531840,)"), std::string::npos);
  EXPECT_NE(lines[1].find(R"("where_unknown":"it has ended",)"), std::string::npos);
  EXPECT_EQ(lines[1].find("user_namespace"), std::string::npos);
}

TEST_F(AuditTest, RotatesAndReadsOverItsFiles) {
  {
    Audit audit("audit.log", 4096, 2);
    for (uint32_t i = 1; i <= 60; ++i) audit.write(0, 1, "host", attached(i, i));
    auto lines = audit.read({}, 1000);
    EXPECT_GT(lines.size(), 40u);
    EXPECT_LT(lines.size(), 80u);
    EXPECT_NE(lines.back().find("\"programs\":[60]"), std::string::npos);
    EXPECT_EQ(audit.read({.link = 50u}, 1000).size(), 1u) << "in an older file";
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("."), std::filesystem::directory_iterator()), 3);
  Audit again("audit.log", 4096, 2);
  EXPECT_GT(again.read({}, 1000).size(), 40u);
}

}  // namespace
}  // namespace bpfman
