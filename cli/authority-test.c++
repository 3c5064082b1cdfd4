// docs/authority.md has a table of who may do what. It is made here, from the daemon's own decisions about examples/policy/policy.toml,
// and compared; with BPFMAN_REWRITE=1 it is written anew, so that a change of the decisions shows as a difference.
#include "cli/policy-cases.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace bpfman {
namespace {

constexpr const char* BEGIN = "<!-- begin: made by authority-test -->\n";
constexpr const char* END = "<!-- end: made by authority-test -->\n";
constexpr const char* MORE = "\n[[grant]]\nusers = [64406]\nroles = [\"operator\"]\n[[grant]]\nusers = [64407]\nroles = [\"viewer\"]\n";

struct Column {
  const char* title;
  const char* user;
};
constexpr Column COLUMNS[] = {{"root", "0"},       {"firewall", "bob"}, {"lan", "alice"},        {"rootless, viewer", "carol"},
                              {"tracer", "tom"},   {"shop", "sam"},     {"follower", "sidecar"}, {"operator", "64406"},
                              {"viewer", "64407"}, {"none", "64999"}};

struct Row {
  const char* words;
  std::vector<std::string> action;
  const char* owner = "";
  const char* interface = "";
  const char* netns = "host";
  int32_t priority = 100;
  uint32_t programs = 1;
  const char* target = "host";
};
const Row ROWS[] = {
    {"see all programs, maps and links", {"view"}},
    {"load xdp, tcx", {"load", "xdp", "tcx"}},
    {"… as his 17th program", {"load", "xdp"}, "", "", "host", 0, 17},
    {"load tracepoint, raw_tp, tp_btf", {"load", "tracepoint", "raw_tp", "tp_btf"}},
    {"load lsm", {"load", "lsm"}},
    {"load xdp and tracepoint in one object", {"load", "xdp", "tracepoint"}},
    {"have a token to load xdp, tcx", {"token", "xdp", "tcx"}},
    {"attach his xdp to the host's eth0, priority 100", {"attach", "xdp"}, "", "eth0"},
    {"… priority 60, reserved for firewall", {"attach", "xdp"}, "", "eth0", "host", 60},
    {"… priority 1000", {"attach", "xdp"}, "", "eth0", "host", 1000},
    {"… to the host's wlan0", {"attach", "xdp"}, "", "wlan0"},
    {"… to eth0 of a namespace that he made", {"attach", "xdp"}, "", "eth0", "own"},
    {"… to eth0 of /run/netns/blue", {"attach", "xdp"}, "", "eth0", "/run/netns/blue"},
    {"… to eth0 of another's namespace", {"attach", "xdp"}, "", "eth0", "/run/netns/green"},
    {"attach his tracepoint program", {"attach", "tracepoint"}},
    {"attach his cgroup_skb to a cgroup that he owns", {"attach", "cgroup_skb"}, "", "", "host", 0, 1, "own"},
    {"… to /machine.slice/shop, given as a subtree", {"attach", "cgroup_skb"}, "", "", "host", 0, 1, "/machine.slice/shop"},
    {"… to another's cgroup", {"attach", "cgroup_skb"}},
    {"attach his uprobe to a binary of his own in a process of his own", {"attach", "uprobe"}, "", "", "host", 0, 1, "own"},
    {"… to libc, or in processes of others", {"attach", "uprobe"}},
    {"attach another's xdp to the host's eth0", {"attach", "xdp"}, "64998", "eth0"},
    {"unload, detach his own", {"unload"}},
    {"unload, detach another's", {"unload"}, "64998"},
    {"read his own programs' maps", {"map", "read"}},
    {"read another's maps", {"map", "read"}, "64998"},
    {"have a descriptor of his own map", {"map", "descriptor"}},
    {"have a descriptor of another's map", {"map", "descriptor"}, "64998"},
    {"write his own maps", {"map", "write"}},
    {"write another's maps", {"map", "write"}, "64998"},
};

std::string contentOf(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string table() {
  std::string directory = SOURCE_DIR "/examples/policy/";
  auto cases = PolicyCases::parse(contentOf(directory + "policy-test.toml").c_str(), "policy-test.toml");
  auto policy = Policy::parseText((contentOf(directory + "policy.toml") + MORE).c_str(), "policy.toml", cases.around);
  std::string head = "| may", line = "|---", text;
  for (auto& column : COLUMNS) head += std::string(" | ") + column.title, line += "|---";
  for (auto& row : ROWS) {
    text += std::string("| ") + row.words;
    for (auto& column : COLUMNS) {
      Question question{column.user, {}, row.action, row.interface, row.netns, row.owner, row.priority, row.programs, row.target};
      text += answer(policy, question, cases.around).decision.allowed ? " | yes" : " | –";
    }
    text += " |\n";
  }
  return head + " |\n" + line + "|\n" + text;
}

TEST(Authority, IsAsTheDocumentSays) {
  std::string path = SOURCE_DIR "/docs/authority.md", document = contentOf(path);
  size_t begin = document.find(BEGIN), end = document.find(END);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end) << path << " lacks the marks";
  begin += strlen(BEGIN);
  auto now = table();
  if (getenv("BPFMAN_REWRITE")) {
    std::ofstream(path) << document.substr(0, begin) + now + document.substr(end);
    return;
  }
  EXPECT_EQ(document.substr(begin, end - begin), now) << "if this change is meant, BPFMAN_REWRITE=1 and review the difference";
}

}  // namespace
}  // namespace bpfman
