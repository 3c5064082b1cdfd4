#include "frontend/policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include <kj/exception.h>

#include "frontend/policy-reader.h"

namespace bpfman {
namespace {

using T = schema::ProgramType;
using Pairs = std::vector<std::pair<std::string, std::string>>;

template <typename Do>
std::string refusalOf(Do&& act) {
  try {
    act();
  } catch (kj::Exception& error) { return error.getDescription().cStr(); }
  return "";
}

Rights rightsOf(const char* text, uid_t uid, std::vector<gid_t> gids = {}) {
  return Policy::parseText(text, "policy.toml").rightsOf({uid, std::move(gids), 1});
}

AttachTarget place(T type, kj::StringPtr interface) { return {type, interface, false, true, 77, 50}; }

TEST(Policy, WithoutAFileLetsRootAdministrateAndNobodyElseDoAnything) {
  Rights root = Policy::defaults().rightsOf({0, {0}, 1}), alice = Policy::defaults().rightsOf({1000, {1000}, 1});
  EXPECT_TRUE(root.administrator());
  EXPECT_EQ(root.maxMapBytes(setOf({T::LSM}), 1), UINT64_MAX);
  root.requireLoad(setOf({T::LSM}), 1);
  root.requireAttach({T::XDP, "eth0", true, false, 1, 5});
  root.requireUnload(1000);
  root.requireMap(MapRight::write, 1000);
  root.requireLoad(setOf({T::XDP}), UINT32_MAX);
  EXPECT_FALSE(alice.view());
  EXPECT_EQ(alice.maxMapBytes(setOf({T::XDP}), 1), 0u);
  EXPECT_NE(refusalOf([&] { alice.requireView(); }), "");
  EXPECT_NE(refusalOf([&] { alice.requireUnload(1000); }), "");
  EXPECT_NE(refusalOf([&] { alice.requireMap(MapRight::read, 1000); }), "");
  EXPECT_EQ(refusalOf([&] { alice.requireLoad(setOf({T::TRACEPOINT}), 1); }),
            "permission denied: user 1000 has no role that may load type tracepoint (class observe); ask the administrator to add it in "
            "/etc/bpfman/policy.toml");
}

TEST(Policy, SaysWhichInterfacesAreNobodyElses) {
  auto policy = Policy::parseText("exclusive = [\"wan*\", \"eth0\"]\n", "policy.toml");
  EXPECT_TRUE(policy.isExclusive("wan7"));
  EXPECT_TRUE(policy.isExclusive("eth0"));
  EXPECT_FALSE(policy.isExclusive("eth01"));
  EXPECT_FALSE(Policy::defaults().isExclusive("eth0"));
  for (auto wrong : {"exclusive = \"wan0\"\n", "exclusive = [1]\n", "exclusive = [\"\"]\n"})
    EXPECT_NE(refusalOf([&] { Policy::parseText(wrong, "policy.toml"); }), "") << wrong;
}

TEST(Policy, GivesRootOfAForeignUserNamespaceNothingForBeingRoot) {
  constexpr char GRANTS[] = "[[grant]]\nusers = [0, 1000]\ngroups = [0]\nroles = [\"viewer\"]\n";
  for (auto policy : {GRANTS, ""}) {
    auto foreign = [&](uid_t uid) { return Policy::parseText(policy, "policy.toml").rightsOf({uid, {0}, 1, true}); };
    EXPECT_FALSE(foreign(0).administrator());
    EXPECT_FALSE(foreign(0).view());
    EXPECT_FALSE(foreign(1001).view()) << "nor for root's group";
    EXPECT_EQ(foreign(1000).view(), policy == GRANTS) << "what his uid has he keeps";
  }
}

TEST(Policy, TreatsAnEmptyDescriptorLikeNoFile) {
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_FALSE(Policy::parse(null, "p").rightsOf({1000, {}, 1}).view());
  EXPECT_TRUE(Policy::parse(null, "p").rightsOf({0, {}, 1}).administrator());
  close(null);
}

TEST(Policy, GivesAnOperatorHisOwnTargetsAndNothingElse) {
  Rights alice = rightsOf(R"(
[roles.lan]
base = "operator"
interfaces = ["eth*", "veth0"]
priorities = [10, 100]
max_programs = 3
max_map_bytes = 1000
[[grant]]
users = [1000]
roles = ["lan"]
)",
                          1000);
  EXPECT_TRUE(alice.view());
  EXPECT_FALSE(alice.administrator());
  EXPECT_EQ(alice.roleNames(), std::vector<std::string>{"lan"});
  alice.requireLoad(setOf({T::XDP}), 1);
  alice.requireLoad(setOf({T::TCX}), 1);
  for (T type : {T::TRACEPOINT, T::RAW_TRACEPOINT, T::TP_BTF, T::KPROBE, T::UPROBE, T::FENTRY, T::FEXIT, T::LSM}) {
    EXPECT_NE(refusalOf([&] { alice.requireLoad(setOf({type}), 1); }), "");
  }
  alice.requireLoad(setOf({T::XDP}), 3);
  EXPECT_NE(refusalOf([&] { alice.requireLoad(setOf({T::XDP}), 4); }), "");
  EXPECT_EQ(alice.maxMapBytes(setOf({T::XDP}), 1), 1000u);

  alice.requireAttach(place(T::XDP, "eth17"));
  alice.requireAttach(place(T::XDP, "veth0"));
  for (auto interface : {"veth1", "lo", "", "xeth0"}) EXPECT_NE(refusalOf([&] { alice.requireAttach(place(T::XDP, interface)); }), "");
  AttachTarget onHost{T::XDP, "eth0", true, false, 1, 50};
  EXPECT_EQ(refusalOf([&] { alice.requireAttach(onHost); }),
            "permission denied: user 1000 has no role that may attach type xdp (class network) to interface eth0 in the host's network "
            "namespace with priority 50 (lan: not in the host's network namespace (namespaces: own)); ask the administrator to add it in "
            "policy.toml");
  EXPECT_NE(refusalOf([&] { alice.requireAttach({T::XDP, "eth0", true, true, 1, 50}); }), "");  // owning is not enough for the host's
  EXPECT_NE(refusalOf([&] { alice.requireAttach({T::XDP, "eth0", false, false, 1, 50}); }), "");
  for (int32_t priority : {9, 101}) EXPECT_NE(refusalOf([&] { alice.requireAttach({T::XDP, "eth0", false, true, 1, priority}); }), "");
  for (int32_t priority : {10, 100}) alice.requireAttach({T::XDP, "eth0", false, true, 1, priority});

  alice.requireUnload(1000);
  EXPECT_NE(refusalOf([&] { alice.requireUnload(1001); }), "");
  alice.requireMap(MapRight::read, 1000);
  EXPECT_FALSE(alice.mayMap(MapRight::read, 1001));
  EXPECT_FALSE(alice.mayMap(MapRight::descriptor, 1000));
  EXPECT_FALSE(alice.mayMap(MapRight::write, 1000));
}

TEST(Policy, GivesTheBuiltInOperatorNoInterface) {
  Rights alice = rightsOf("[[grant]]\nusers = [1000]\nroles = [\"operator\"]\n", 1000);
  alice.requireLoad(setOf({T::XDP}), 1);
  EXPECT_NE(refusalOf([&] { alice.requireAttach(place(T::XDP, "eth0")); }), "");
}

TEST(Policy, GivesAViewerAllMapsToReadAndNothingToChange) {
  Rights bob = rightsOf("[[grant]]\nusers = [1001]\nroles = [\"viewer\"]\n", 1001);
  bob.requireView();
  bob.requireMap(MapRight::read, 1000);
  EXPECT_FALSE(bob.mayMap(MapRight::descriptor, 1000));
  EXPECT_NE(refusalOf([&] { bob.requireUnload(1001); }), "");
  EXPECT_NE(refusalOf([&] { bob.requireLoad(setOf({T::XDP}), 1); }), "");
  EXPECT_NE(refusalOf([&] { bob.requireLoad(setOf({T::XDP}), 1); }), "");
  Rights blind = rightsOf("[roles.b]\nbase=\"viewer\"\nmap_rights=[]\n[[grant]]\nusers = [1001]\nroles = [\"b\"]\n", 1001);
  EXPECT_TRUE(blind.view());
  EXPECT_FALSE(blind.mayMap(MapRight::read, 1000));
}

// Two roles that each allow a half do not make a whole.
TEST(Policy, LetsARequestPassOnlyByOneRoleThatAllowsAllOfIt) {
  Rights alice = rightsOf(R"(
roles.low = { base = "operator", interfaces = ["eth0"], priorities = [0, 9] }
roles.wide = { base = "operator", interfaces = ["*"], priorities = [10, 20] }
grant = [{ users = [1000], roles = ["low"] }, { groups = [50], roles = ["wide", "low"] }]
)",
                          1000, {50});
  EXPECT_EQ(alice.roleNames(), (std::vector<std::string>{"low", "wide"}));
  alice.requireAttach({T::TCX, "eth0", false, true, 1, 5});
  alice.requireAttach({T::TCX, "eth1", false, true, 1, 15});
  EXPECT_NE(refusalOf([&] { alice.requireAttach({T::TCX, "eth1", false, true, 1, 5}); }), "");
}

TEST(Policy, TakesAllLimitsOfALoadFromOneRole) {
  Rights alice = rightsOf(R"(
roles.net = { base = "operator", max_programs = 2, max_map_bytes = 1000 }
roles.see = { base = "operator", classes = ["observe"], max_programs = 9, max_map_bytes = 9000 }
grant = [{ users = [1000], roles = ["net", "see"] }]
)",
                          1000);
  alice.requireLoad(setOf({T::XDP}), 2);
  alice.requireLoad(setOf({T::TRACEPOINT}), 9);
  EXPECT_NE(refusalOf([&] { alice.requireLoad(setOf({T::XDP}), 3); }).find("net: not 3 programs at once (max_programs: 2); see: not class"),
            std::string::npos);
  EXPECT_NE(refusalOf([&] {
              alice.requireLoad(setOf({T::XDP, T::TRACEPOINT}), 2);
            }).find("load type xdp (class network) and type tracepoint (class observe)"),
            std::string::npos);
  EXPECT_EQ(alice.maxMapBytes(setOf({T::XDP}), 2), 1000u);
  EXPECT_EQ(alice.maxMapBytes(setOf({T::TRACEPOINT}), 2), 9000u);
}

constexpr const char* RESERVED = R"(
[roles.firewall]
base = "operator"
interfaces = ["*"]
namespaces = ["host", "own"]
[roles.lan]
base = "operator"
interfaces = ["*"]
namespaces = ["host", "own"]
[[reserve]]
types = ["xdp"]
interfaces = ["eth*"]
priorities = [0, 49]
roles = ["firewall"]
[[reserve]]
priorities = [90, 99]
[[grant]]
users = [1000]
roles = ["lan"]
[[grant]]
users = [1001]
roles = ["firewall"]
[[grant]]
users = [1002]
roles = ["administrator"]
)";

TEST(Policy, KeepsReservedPrioritiesForTheirRoles) {
  struct Row {
    uid_t uid;
    T type;
    kj::StringPtr interface;
    bool host;
    int32_t priority;
    bool allowed;
  } rows[] = {{1000, T::XDP, "eth0", true, 49, false}, {1000, T::XDP, "eth0", true, 50, true},  {1000, T::TCX, "eth0", true, 49, true},
              {1000, T::XDP, "wlan0", true, 49, true}, {1000, T::XDP, "eth0", false, 49, true}, {1001, T::XDP, "eth0", true, 0, true},
              {1001, T::TCX, "any0", true, 90, false}, {1001, T::TCX, "any0", true, 99, false}, {1001, T::TCX, "any0", true, 100, true},
              {1001, T::TCX, "any0", false, 99, true}, {1002, T::XDP, "eth0", true, 10, true},  {1002, T::TCX, "eth0", true, 95, true},
              {0, T::XDP, "eth0", true, 10, true},     {1000, T::TCX, "eth0", true, 89, true}};
  for (auto& row : rows) {
    AttachTarget target{row.type, row.interface, row.host, !row.host, 7, row.priority};
    EXPECT_EQ(rightsOf(RESERVED, row.uid).decide(Request::toAttach(target)).allowed, row.allowed) << row.uid << " " << row.priority;
  }
  Rights lan = rightsOf(RESERVED, 1000);
  auto denied = [&](const AttachTarget& target) { return refusalOf([&] { lan.requireAttach(target); }); };
  EXPECT_NE(denied({T::XDP, "eth0", true, false, 7, 3}).find("lan: priority 3 is reserved for firewall (line 10)"), std::string::npos);
  EXPECT_NE(denied({T::XDP, "eth0", true, false, 7, 95}).find("reserved for administrators"), std::string::npos);
}

constexpr const char* TARGETS = R"(
[roles.own]
base = "operator"
classes = ["cgroup", "observe"]
[roles.shop]
base = "operator"
classes = ["cgroup"]
cgroups = ["/machine.slice/*"]
[roles.host]
base = "operator"
classes = ["cgroup", "observe"]
cgroups = ["host"]
binaries = ["host"]
[roles.none]
base = "operator"
classes = ["cgroup", "observe"]
cgroups = []
binaries = []
[[grant]]
users = [1000]
roles = ["own"]
[[grant]]
users = [1001]
roles = ["shop"]
[[grant]]
users = [1002]
roles = ["host"]
[[grant]]
users = [1003]
roles = ["none"]
)";

TEST(Policy, GivesCgroupsAndBinariesOfHisOwnUnlessItSaysOtherwise) {
  Rights own = rightsOf(TARGETS, 1000), shop = rightsOf(TARGETS, 1001), host = rightsOf(TARGETS, 1002), none = rightsOf(TARGETS, 1003);
  AttachTarget mine{T::CGROUP_SKB, ""}, others{T::CGROUP_SKB, ""}, machine{T::CGROUP_SKB, ""};
  mine.own = true;
  others.cgroup = "/machine.slice";
  machine.cgroup = "/machine.slice/a/b";
  AttachTarget anywhere{T::UPROBE, ""}, library{T::URETPROBE, ""}, inside{T::UPROBE, ""};
  anywhere.own = library.ownProcess = inside.own = inside.ownProcess = true;
  struct {
    Rights& rights;
    const AttachTarget& target;
    const char* lacks;  // "": nothing
  } cases[] = {{own, mine, ""},
               {own, machine, "not someone else's cgroup /machine.slice/a/b (cgroups: own)"},
               {shop, machine, ""},
               {shop, others, "(cgroups: /machine.slice/*)"},
               {shop, mine, "not his own cgroup (cgroups: /machine.slice/*)"},
               {shop, inside, "not class observe"},
               {host, others, ""},
               {host, library, ""},
               {none, mine, "(cgroups: none)"},
               {none, inside, "not his own binary (binaries: none)"},
               {own, inside, ""},
               {own, anywhere, "only in one process, of his own (binaries: own)"},
               {own, library, "not someone else's binary (binaries: own)"}};
  for (auto& [rights, target, lacks] : cases) {
    auto said = refusalOf([&, &rights = rights, &target = target] { rights.requireAttach(target); });
    EXPECT_EQ(said.empty(), *lacks == 0) << said;
    EXPECT_NE(said.find(lacks), std::string::npos) << said;
  }
}

TEST(Policy, TokensAreForWhoHasTheKeyAndTheClasses) {
  const char* text = R"(
roles.with = { base = "operator", tokens = true }
roles.without = { base = "operator", classes = ["network", "control"] }
grant = [{ users = [1001], roles = ["with"] }, { users = [1002], roles = ["without"] }, { users = [1003], roles = ["administrator"] }]
)";
  auto lacking = [&](uid_t uid, T type) { return refusalOf([&] { rightsOf(text, uid).requireDelegate(setOf({type})); }); };
  EXPECT_EQ(lacking(1001, T::XDP), "");
  EXPECT_NE(lacking(1001, T::LSM).find("have a token to load type lsm (class control) (with: not class control"), std::string::npos);
  EXPECT_NE(lacking(1002, T::LSM).find("without: no tokens (tokens: false)"), std::string::npos);
  EXPECT_EQ(lacking(1003, T::LSM), "");
}

TEST(Policy, SaysWhichGrantAndRoleDecide) {
  auto decision = rightsOf(RESERVED, 1001).decide(Request::toLoad(setOf({T::TRACEPOINT}), 1));
  EXPECT_FALSE(decision.allowed);
  ASSERT_EQ(decision.roles.size(), 1u);
  EXPECT_EQ(decision.roles[0].held.role->name, "firewall");
  EXPECT_EQ(decision.roles[0].held.line, 20u);
  EXPECT_EQ(decision.roles[0].lacks, std::vector<std::string>{"not class observe (classes: network)"});
  EXPECT_EQ(rightsOf(RESERVED, 0).decide({}).roles.at(0).held.line, 0u);
}

// One that was in force already goes on when an account or a namespace went: who is gone is given nothing.
TEST(Policy, KeptGoesOnWithoutThoseWhoAreGone) {
  const char* text = R"(
roles.a = { base = "operator", interfaces = ["*"], namespaces = ["host", "named:/dev/null"] }
grant = [{ users = ["no-such-user"], groups = ["no-such-group"], roles = ["a"] }, { users = [7], roles = ["a"] }]
)";
  EXPECT_NE(refusalOf([&] { Policy::parseText(text, "p"); }), "");
  Policy policy = Policy::parseText(text, "p", thisMachine(), Names::mayBeGone);
  EXPECT_EQ(policy.notes().size(), 3u);
  EXPECT_TRUE(policy.rightsOf({7, {}, 1}).view());
  EXPECT_FALSE(policy.rightsOf({8, {8}, 1}).view());
  EXPECT_NE(refusalOf([&] { Policy::parseText("[[grant]]\nusers=[]\nroles=[\"viewer\"]\n", "p", thisMachine(), Names::mayBeGone); }), "");
}

TEST(Policy, LooksUpUsersAndGroupsByName) {
  const char* text = "[[grant]]\nusers = [\"nobody\"]\ngroups = [\"daemon\"]\nroles = [\"viewer\"]\n";
  EXPECT_TRUE(rightsOf(text, 65534).view());
  EXPECT_TRUE(rightsOf(text, 4242, {7, 1}).view());
  EXPECT_FALSE(rightsOf(text, 4242, {7, 2}).view());
  EXPECT_EQ(Policy::parseText(text, "p").notes().size(), 1u);  // 65534 is everybody's in a foreign user namespace
}

struct Mistake {
  const char* text;
  const char* place;
  const char* reason;
};

class PolicyMistake : public testing::TestWithParam<Mistake> {};

TEST_P(PolicyMistake, RefusesTheWholeFileWithItsPlaceAndReason) {
  std::string refusal = refusalOf([] { rightsOf(GetParam().text, 0); });
  EXPECT_EQ(refusal.find(std::string("policy.toml:") + GetParam().place + ": "), 0u) << refusal;
  EXPECT_NE(refusal.find(GetParam().reason), std::string::npos) << refusal;
}

INSTANTIATE_TEST_SUITE_P(
    All, PolicyMistake,
    testing::Values(
        Mistake{"[roles.a]\nbase = \"operator\"\nclases = []\n", "3:1", "unknown key \"clases\""},
        Mistake{"rules = 1\n", "1:1", "unknown key"}, Mistake{"[[grant]]\nuser = [1]\nroles=[\"viewer\"]\n", "2:1", "unknown key \"user\""},
        Mistake{"[roles.a]\nbase = 7\n", "2:8", "base must be a string"},
        Mistake{"[roles.a]\nbase = \"king\"\n", "2:8", "not one of administrator, operator, viewer"},
        Mistake{"[roles.a]\n", "1:1", "has no base"}, Mistake{"[roles.viewer]\nbase = \"viewer\"\n", "1:8", "built in"},
        Mistake{"[roles.a]\nbase = \"operator\"\nclasses = \"network\"\n", "3:11", "must be an array"},
        Mistake{"[roles.a]\nbase = \"operator\"\nclasses = [\"network\", \"all\"]\n", "3:23", "\"all\" in classes is not one of"},
        Mistake{"[roles.a]\nbase = \"operator\"\npriorities = [5]\n", "3:14", "two numbers"},
        Mistake{"[roles.a]\nbase = \"operator\"\npriorities = [5, 4]\n", "3:18", "between 5"},
        Mistake{"[roles.a]\nbase = \"operator\"\npriorities = [-1, 4]\n", "3:15", "between 0"},
        Mistake{"[roles.a]\nbase = \"operator\"\nmax_programs = 1.5\n", "3:16", "whole number"},
        Mistake{"[roles.a]\nbase = \"operator\"\ntokens = 1\n", "3:10", "tokens is true or false"},
        Mistake{"[roles.a]\nbase = \"operator\"\nnamespaces = [\"/run/netns/x\"]\n", "3:15", "named:PATH"},
        Mistake{"[roles.a]\nbase = \"operator\"\nnamespaces = [\"named:/dev/null\"]\n", "3:15", "is not a network namespace"},
        Mistake{"[roles.a]\nbase = \"operator\"\nnamespaces = [\"named:/proc/self/ns/mnt\"]\n", "3:15", "is not a network namespace"},
        Mistake{"[roles.a]\nbase = \"operator\"\ncgroups = [\"own\", \"x\"]\n", "3:11", "cgroup \"x\" is not one of"},
        Mistake{"[roles.a]\nbase = \"operator\"\nbinaries = [\"libc\"]\n", "3:12", "binary \"libc\" is not one of"},
        Mistake{"[roles.a]\nbase = \"operator\"\ninterfaces = [\"\"]\n", "3:15", "pattern"},
        Mistake{"[roles.a]\nbase = \"viewer\"\nclasses = [\"control\"]\n", "3:1", "unknown key \"classes\""},
        Mistake{"[roles.a]\nbase = \"viewer\"\nmap_rights = [\"write\"]\n", "3:14", "a viewer changes nothing"},
        Mistake{"[roles.a]\nbase = \"administrator\"\ninterfaces = [\"eth0\"]\n", "3:1", "nothing limits"},
        Mistake{"[[grant]]\nusers = [\"no-such-user\"]\nroles=[\"viewer\"]\n", "2:10", "there is no user \"no-such-user\""},
        Mistake{"[[grant]]\ngroups = [\"no-such-group\"]\nroles=[\"viewer\"]\n", "2:11", "there is no group"},
        Mistake{"[[grant]]\nusers = [-1]\nroles=[\"viewer\"]\n", "2:10", "between 0"},
        Mistake{"[[grant]]\nusers = [4294967295]\nroles=[\"viewer\"]\n", "2:10", "between 0"},
        Mistake{"[[grant]]\nusers = [true]\nroles=[\"viewer\"]\n", "2:10", "must be a string"},
        Mistake{"[[grant]]\nusers = [1]\nroles=[\"netadmin\"]\n", "3:8", "unknown role \"netadmin\""},
        Mistake{"[[grant]]\nusers = [1]\n", "1:1", "needs roles"},
        Mistake{"[[grant]]\nroles=[\"viewer\"]\n", "1:1", "needs users or groups"},
        Mistake{"[[reserve]]\nroles = []\n", "1:1", "needs priorities"}, Mistake{"[[reserve]]\npriorities = [9, 1]\n", "2:18", "between 9"},
        Mistake{"[[reserve]]\npriorities = [1, 9]\nroles = [\"viewer\"]\n", "3:10", "needs no reservation"},
        Mistake{"[[reserve]]\npriorities = [1, 9]\nroles = [\"lan\"]\n", "3:10", "unknown role"},
        Mistake{"[[reserve]]\npriorities = [1, 9]\ntypes = [\"kprobe\"]\n", "3:10", "not one of xdp, tc, tcx"},
        Mistake{"[[reserve]]\npriorities = [1, 9]\nhook = \"xdp\"\n", "3:1", "unknown key"},
        Mistake{"[grant]\nusers = [1]\n", "1:1", "must be an array"}, Mistake{"[roles.a\n", "1:9", ""}));

TEST(Policy, RefusesZeroBytesAndFilesThatAreTooLarge) {
  int file = memfd_create("policy", MFD_CLOEXEC);
  ASSERT_EQ(write(file, "# fine\n\0[[grant]]\n", 18), 18);
  EXPECT_NE(refusalOf([&] { Policy::parse(file, "p"); }), "");
  std::string text = "#" + std::string((1 << 20) - 1, 'x');
  ASSERT_EQ(pwrite(file, text.data(), text.size(), 0), ssize_t(text.size()));
  EXPECT_EQ(refusalOf([&] { Policy::parse(file, "p"); }), "");
  ASSERT_EQ(pwrite(file, "x", 1, text.size()), 1);
  EXPECT_NE(refusalOf([&] { Policy::parse(file, "p"); }).find("larger than"), std::string::npos);
  close(file);
}

TEST(Policy, TakesANamedNamespaceByItsInode) {
  struct stat status;
  ASSERT_EQ(stat("/proc/self/ns/net", &status), 0);
  Policy policy = Policy::parseText(R"(
roles.a = { base = "operator", interfaces = ["*"], namespaces = ["named:/proc/self/ns/net", "named:/run/netns/not-there"] }
grant = [{ users = [1000], roles = ["a"] }]
)",
                                    "p");
  EXPECT_EQ(policy.notes().size(), 1u);
  Rights alice = policy.rightsOf({1000, {}, 1});
  alice.requireAttach({T::XDP, "eth0", false, false, status.st_ino, 5});
  EXPECT_NE(refusalOf([&] { alice.requireAttach({T::XDP, "eth0", false, false, status.st_ino + 1, 5}); }), "");
  EXPECT_NE(refusalOf([&] { alice.requireAttach({T::XDP, "eth0", false, true, status.st_ino + 1, 5}); }), "");  // `own` was not listed
}

// Whatever the text is, the answer is a policy or a refusal that names a place.
TEST(Policy, SurvivesDamagedText) {
  const std::string good =
      "[roles.a]\nbase = \"operator\"\nclasses = [\"network\"]\npriorities = [1, 2]\n[[grant]]\nusers = [5]\nroles = [\"a\"]\n";
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (unsigned n = 0, count = 1 + random() % 4; n < count; ++n) {
      size_t at = random() % text.size();
      if (random() % 2)
        text.erase(at, 1 + random() % 5);
      else
        text[at] = char(random() % 128);
      if (text.empty()) text = "x";
    }
    std::string refusal = refusalOf([&] { Policy::parseText(kj::StringPtr(text.c_str(), text.size()), "p"); });
    ASSERT_TRUE(refusal.empty() || refusal.starts_with("p:")) << refusal;
  }
}

TEST(OrderRule, TheFirstOneAboutTheHookDecidesAndAllOfASelectorMustMatch) {
  auto rules = Policy::parseText(R"(
[[order]]
types = ["xdp"]
interfaces = ["eth*"]
first = [{ name = "fire*", owner = 0 }, { application = "shield" }]
last = [{ label = "role=log*" }]
[[order]]
first = [{ name = "*" }]
)",
                                 "policy.toml")
                   .allOrderRules();
  Pairs none, labelled = {{"other", "x"}, {"role", "logger"}};
  auto rank = [&](T type, const char* interface, const char* name, const char* application, uint32_t owner, const Pairs& labels) {
    return rankOf(rules, {type, interface, name, application, "", owner, labels}).rank;
  };
  EXPECT_EQ(rank(T::XDP, "eth0", "firewall", "", 0, none), -2);
  EXPECT_EQ(rank(T::XDP, "eth0", "firewall", "", 1000, none), 0);  // the name alone is anybody's
  EXPECT_EQ(rank(T::XDP, "eth0", "x", "shield", 1000, labelled), -1);
  EXPECT_EQ(rank(T::XDP, "eth0", "x", "", 1000, labelled), 1);
  EXPECT_EQ(rank(T::XDP, "lan0", "x", "", 1000, none), -1);
  EXPECT_EQ(rank(T::TC, "eth0", "x", "", 1000, labelled), -1);
}

TEST(OrderRule, IsRefusedWithItsLineWhenItSaysNothingOrSomethingUnknown) {
  const std::pair<const char*, const char*> wrong[] = {{"[[order]]\ntypes = [\"xdp\"]\n", "an order rule needs first or last"},
                                                       {"[[order]]\nfirst = [{}]\n", "a selector needs name"},
                                                       {"[[order]]\nfirst = [{ nam = \"x\" }]\n", "nam"},
                                                       {"[[order]]\nfirst = [{ label = \"role\" }]\n", "expected \"KEY=PATTERN\""},
                                                       {"[[order]]\nfirst = [{ name = \"\" }]\n", "name can't be empty"},
                                                       {"[[order]]\nlast = [{ owner = \"no-such-user-here\" }]\n", "there is no user"},
                                                       {"[[order]]\ntypes = [\"kprobe\"]\nfirst = [{ name = \"x\" }]\n", "kprobe"}};
  for (auto& row : wrong) {
    const char *text = row.first, *reason = row.second;
    std::string refusal = refusalOf([&] { Policy::parseText(text, "policy.toml"); });
    EXPECT_NE(refusal.find(reason), std::string::npos) << text << refusal;
  }
}

}  // namespace
}  // namespace bpfman
