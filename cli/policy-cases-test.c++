// bpfman policy check and test, by the real binary; and the example that is shipped.
#include "cli/fake-daemon.h"
#include "cli/policy-cases.h"

#include <gtest/gtest.h>

#include <fstream>

#include <kj/exception.h>

namespace bpfman {
namespace {

constexpr const char* EXAMPLE = SOURCE_DIR "/examples/policy/policy-test.toml";
constexpr const char* TEXT = R"([roles.lan]
base = "operator"
interfaces = ["eth*"]
namespaces = ["host"]
priorities = [10, 99]
[[reserve]]
priorities = [0, 19]
[[grant]]
users = [64401]
roles = ["lan", "viewer"]
)";

class PolicyCommand : public testing::Test {
 protected:
  void SetUp() override {
    write("p.toml", TEXT);
    write("wrong.toml", "[[grant]]\nusers = [1]\nroles = [\"king\"]\n");
  }
  std::string at(const std::string& name) { return daemon.runtimeDir() + "/" + name; }
  void write(const std::string& name, const std::string& text) { std::ofstream(at(name)) << text; }
  FakeDaemon::Outcome check(const std::string& words, const std::string& file = "p.toml") {
    return daemon.bpfman("policy check --policy " + at(file) + " " + words);
  }
  FakeDaemon::Outcome test(const std::string& text, const std::string& more = "") {
    write("t.toml", text);
    return daemon.bpfman("policy test " + at("t.toml") + " " + more);
  }

  FakeDaemon daemon;
};

TEST_F(PolicyCommand, CheckAnswersByItsExitCodeAndSaysWhy) {
  struct Row {
    const char* words;
    int code;
    const char* says;
  } rows[] = {
      {"--user 64401 load xdp", 0, "role lan (line 8) allows it"},
      {"load xdp tcx --user 64401", 0, "load type xdp (class network) and type tcx"},
      {"--user 64401 load kprobe", 1, "role lan (line 8): not class observe (classes: network)"},
      {"--user 64401 load xdp --programs 257", 1, "max_programs: 256"},
      {"--user 64401 attach xdp --interface eth0", 0, "to interface eth0 in the host's network namespace with priority 50"},
      {"--user 64401 attach xdp --interface eth0 --priority 15", 1, "priority 15 is reserved for administrators (line 6)"},
      {"--user 64401 attach xdp --interface lo --priority 5", 1, "not interface lo (interfaces: eth*), not priority 5"},
      {"--user 64401 attach xdp --interface eth0 --namespace own", 1, "not in his own network namespace"},
      {"--user 64401 attach xdp --interface eth0 --namespace /proc/self/ns/net", 0, "in the host's network namespace"},
      {"--user 64401 attach xdp --interface eth0 --owner 7", 1, "only his own programs"},
      {"--user 64401 map read --owner root", 0, "role viewer (line 8) allows it"},
      {"--user 64401 map write", 1, "role viewer (line 8): not write (map_rights: read)"},
      {"--user 64401 unload --owner 64401", 0, "allowed: user 64401"},
      {"--user root unload --owner 64401", 0, "role administrator (built in) allows it"},
      {"--user 64402 view", 1, "no grant in"},
      {"--user 64401", 0, "role viewer (line 8): looks at everything"},
      {"--user 64402", 0, "has no role"},
      {"", 0, "line 6: reserved for administrators: xdp, tc, tcx, netkit on *; namespaces host; priorities 0 to 19"},
  };
  for (auto& row : rows) {
    auto outcome = check(row.words);
    EXPECT_EQ(outcome.code, row.code) << row.words << outcome.err;
    EXPECT_NE(outcome.out.find(row.says), std::string::npos) << row.words << "\n" << outcome.out;
    EXPECT_EQ(check(std::string("-o json ") + row.words).code, row.code) << row.words;
  }
  auto json = check("-o json --user 64401 attach xdp --interface eth0 --priority 15").out;
  EXPECT_NE(json.find("\"allowed\": false"), std::string::npos) << json;
  EXPECT_NE(json.find("reserved for administrators (line 6)"), std::string::npos) << json;
}

TEST_F(PolicyCommand, WhatIsWrongIsNoDenial) {
  struct Row {
    const char* words;
    const char* file;
    const char* says;
  } rows[] = {
      {"", "wrong.toml", "wrong.toml:3:10: unknown role \"king\""},
      {"--user 1 view", "wrong.toml", "wrong.toml:3:10:"},
      {"", "absent.toml", "No such file"},
      {"view", "p.toml", "give --user"},
      {"--user no-such-user view", "p.toml", "there is no user \"no-such-user\" here"},
      {"--user 1 -g no-such-group view", "p.toml", "there is no group"},
      {"--user 1 fly", "p.toml", "unexpected argument: fly"},
      {"--user 1 load", "p.toml", "TYPE is required"},
      {"--user 1 load zip", "p.toml", "unknown program type"},
      {"--user 1 attach xdp", "p.toml", "needs an interface"},
      {"--user 1 attach xdp -i eth0 -n blue", "p.toml", "not host, own or an absolute path"},
      {"--user 1 attach xdp -i eth0 -n /dev/null", "p.toml", "not a network namespace"},
      {"--user 1 map eat", "p.toml", "unknown map right"},
      {"--nonsense", "p.toml", "unexpected argument"},
      {"--user 1 attach xdp -i eth0 -p -4", "p.toml", "priority"},
  };
  for (auto& row : rows) {
    auto outcome = check(row.words, row.file);
    EXPECT_EQ(outcome.code, 2) << row.words;
    EXPECT_EQ(outcome.out, "") << row.words;
    EXPECT_NE(outcome.err.find(row.says), std::string::npos) << row.words << "\n" << outcome.err;
  }
}

TEST_F(PolicyCommand, TestComparesWithWhatIsExpected) {
  auto policy = "--policy " + at("p.toml");
  std::string good = "[[case]]\nuid = 64401\naction = \"load xdp\"\nexpect = \"allow\"\n";
  auto outcome = test(good, policy);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, at("p.toml") + ": 1 of 1 cases as expected\n");
  outcome = test(good +
                     "[[case]]\nuid = 64401\naction = \"load lsm\"\nexpect = \"allow\"\n"
                     "[[case]]\nuid = 64401\naction = \"load lsm\"\nexpect = \"deny\"\nreason = \"the moon\"\n"
                     "[[case]]\nuser = \"no-such-user\"\naction = \"view\"\nexpect = \"deny\"\n",
                 policy);
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  for (auto says :
       {"t.toml:5: user 64401, load type lsm (class control): denied, expected allow: role lan (granted in line 8): not class control",
        "t.toml:9: user 64401, load type lsm (class control): denied, but not because of \"the moon\"",
        "t.toml:14: there is no user \"no-such-user\"", "1 of 4 cases as expected"})
    EXPECT_NE(outcome.out.find(says), std::string::npos) << says << "\n" << outcome.out;
}

TEST_F(PolicyCommand, TestRefusesFilesThatAreWrong) {
  std::pair<const char*, const char*> rows[] = {
      {"", "can't be read, or is empty"},
      {"x = 1\n", "t.toml:1:1: unknown key"},
      {"policy = \"p.toml\"\n", "there is no [[case]]"},
      {"[[case]]\nuid = 1\naction = \"view\"\n", "t.toml:1:1: a case needs expect"},
      {"[[case]]\naction = \"view\"\nexpect = \"deny\"\n", "a user or a uid"},
      {"[[case]]\nuid = 1\naction = \"view\"\nexpect = \"no\"\n", "t.toml:4:10: expect is"},
      {"[[case]]\nuid = 1\naction = \"view\"\nexpect = \"deny\"\nwhy = \"x\"\n", "t.toml:5:1: unknown key \"why\""},
      {"policy = \"wrong.toml\"\n[[case]]\nuid = 1\naction = \"view\"\nexpect = \"deny\"\n", "wrong.toml:3:10: unknown role"},
  };
  for (auto& [text, says] : rows) {
    auto outcome = test(text);
    EXPECT_EQ(outcome.code, 2) << text;
    EXPECT_NE(outcome.err.find(says), std::string::npos) << text << "\n" << outcome.err;
  }
}

TEST_F(PolicyCommand, TheExampleDecidesAsItsTestExpects) {
  auto outcome = daemon.bpfman(std::string("policy test ") + EXAMPLE);
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
}

}  // namespace
}  // namespace bpfman
