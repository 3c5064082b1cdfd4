// What is printed: JSON key by key (its order is a contract with scripts), text, errors.
#include "cli/fake-daemon.h"
#include "cli/json.h"
#include "cli/text.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace bpfman {
namespace {

class Output : public testing::Test {
 protected:
  FakeDaemon daemon;
};

const char* const KERNEL_40 = R"({"id":40,"name":"pass_with_a_lon","program_type":"xdp","tag":"0123456789abcdef",)"
                              R"("loaded_at":"2026-01-01T00:01:00Z","uid":1000,"has_uid":true,"btf_id":11,"has_btf_id":true,)"
                              R"("map_ids":[70],"has_map_ids":true,"jited_size":111,"xlated_size":168,"verified_insns":13,)"
                              R"("memlock":4096,"has_memlock":true,"restricted":false,"loader_uid":990})";
const char* const RECORD_40 =
    R"({"program_id":40,"load":{"object_path":"/run/bpfman/programs/40/bytecode.o","source_path":"pass.bpf.o",)"
    R"("program_name":"pass_with_a_long_name","program_type":"xdp","global_data":{"weight":"AQD/"},"image_source":null,)"
    R"("attach_func":null,"map_owner_id":null},"license":"GPL","gpl_compatible":true,)"
    R"("handles":{"pin_path":"/run/bpfman/fs/prog_40","map_pin_path":"/run/bpfman/fs/maps/40","map_owner_id":null},)"
    R"("meta":{"name":"pass_with_a_long_name","owner":"","description":"",)"
    R"("metadata":{"bpfman.io/application":"edge","team":"net"}},"created_at":"2026-01-01T00:01:00Z","updated_at":null})";
const char* const NO_LINK_KINDS =
    R"("netfilter_pf":0,"netfilter_hooknum":0,"netfilter_priority":0,"netfilter_flags":0,"kprobe_multi_count":0,)"
    R"("kprobe_multi_flags":0,"kprobe_multi_missed":0,"kprobe_address":0,"kprobe_missed":0})";
const std::string LINK_8 =
    std::string(R"({"record":{"id":8,"program_id":40,"kernel_link_id":108,"kind":"xdp","pin_path":"/run/bpfman/fs/links/8",)") +
    R"("details":{"interface":"eth0","ifindex":3,"priority":50,"position":0,"proceed_on":[2,31],"netns":"","nsid":4026531840,)"
    R"("dispatcher_id":60,"revision":4},"created_at":"2026-01-01T00:01:00Z","metadata":null},)"
    R"("status":{"kernel":{"id":108,"program_id":60,"link_type":"xdp","attach_type":"37","ifindex":3,"target_obj_id":0,)"
    R"("target_btf_id":0,"cgroup_id":0,"netns_ino":0,)" +
    NO_LINK_KINDS + R"(,"kernel_seen":true,"pin_present":true}})";

std::string compact(const std::string& printed) { return Json::parse(printed).dump(); }

TEST_F(Output, ProgramAsJson) {
  auto outcome = daemon.bpfman("program get 40 -o json");
  auto expected = std::string(R"({"record":)") + RECORD_40 + R"(,"status":{"kernel":)" + KERNEL_40 +
                  R"(,"stats":null,"stats_unknown":"statistics are off","prog_pin":"/run/bpfman/fs/prog_40",)"
                  R"("map_dir":"/run/bpfman/fs/maps/40","bytecode":"/run/bpfman/programs/40/bytecode.o","links":[)" +
                  LINK_8 +
                  R"(],"maps":[{"id":70,"name":"packet_counters","map_type":"percpuarray","key_size":4,"value_size":8,)"
                  R"("max_entries":2,"flags":0,"btf_id":12,"has_btf_id":true,"map_extra":0,"has_map_extra":false,"memlock":296,)"
                  R"("has_memlock":true,"frozen":false,"pin_path":"/run/bpfman/fs/maps/40/packet_counters_by_cpu",)"
                  R"("present":true}],"map_used_by":[40,41]}})";
  EXPECT_EQ(compact(outcome.out), expected);
  EXPECT_EQ(outcome.out.substr(0, 47), "{\n  \"record\": {\n    \"program_id\": 40,\n    \"load");
  std::ofstream(daemon.runtimeDir() + "/a.o") << "ELF!";
  auto loaded = daemon.bpfman("program load file " + daemon.runtimeDir() + "/a.o --programs xdp:x -o json");
  EXPECT_EQ(compact(loaded.out), R"({"programs":[)" + expected + "]}");
}

TEST_F(Output, StatisticsAreAnObjectWhenTheyAreKnown) {
  auto status = Json::parse(daemon.bpfman("program get 42 -o json").out)["status"];
  EXPECT_EQ(status["stats"].dump(), R"({"runtime":3456,"run_count":12,"recursion_misses":1})");
  EXPECT_FALSE(status.contains("stats_unknown"));
}

TEST_F(Output, ProgramListAsJsonHasForeignProgramsWithoutRecord) {
  auto programs = Json::parse(daemon.bpfman("program list --all -o json").out)["programs"];
  ASSERT_EQ(programs.size(), 4u);
  EXPECT_EQ(programs[0].dump(),
            R"({"program_id":7,"managed":false,"application":"","type":"schedcls","function_name":"cil_from_netdev","links":[],)"
            R"("record":null,"kernel":{"id":7,"name":"cil_from_netdev","program_type":"schedcls","tag":"0123456789abcdef",)"
            R"("loaded_at":"2026-01-01T00:01:00Z","uid":990,"has_uid":true,"btf_id":0,"has_btf_id":false,"map_ids":[70],)"
            R"("has_map_ids":true,"jited_size":111,"xlated_size":168,"verified_insns":13,"memlock":4096,"has_memlock":true,)"
            R"("restricted":false}})");
  EXPECT_EQ(programs[1].dump(),
            std::string(R"({"program_id":40,"managed":true,"application":"edge","type":"xdp","function_name":"pass_with_a_long_name",)") +
                R"("links":[8],"record":)" + RECORD_40 + R"(,"kernel":)" + KERNEL_40 + "}");
}

TEST_F(Output, LinksAsJson) {
  EXPECT_EQ(compact(daemon.bpfman("link get 8 -o json").out), LINK_8);
  auto links = Json::parse(daemon.bpfman("link list -o json").out)["links"];
  ASSERT_EQ(links.size(), 3u);
  EXPECT_EQ(links[1].dump(),
            R"({"id":9,"program_id":41,"kernel_link_id":109,"kind":"tracepoint","pin_path":"/run/bpfman/fs/links/9",)"
            R"("details":{"group":"syscalls","name":"sys_enter_kill"},"created_at":"2026-01-01T00:01:00Z","metadata":null})");
  EXPECT_EQ(links[2].dump(),
            R"({"id":10,"program_id":42,"kernel_link_id":110,"kind":"tcx","pin_path":"/run/bpfman/fs/links/10",)"
            R"("details":{"interface":"eth0","ifindex":3,"direction":"egress","priority":50,"position":0,)"
            R"("netns":"/run/netns/blue","nsid":4026531840},"created_at":"2026-01-01T00:01:00Z","metadata":{"owner":"me"}})");
  auto kernel = [&](const char* id) { return Json::parse(daemon.bpfman(std::string("link get -o json ") + id).out)["status"]["kernel"]; };
  EXPECT_EQ(kernel("9")["attach_type"], "");  // perf_event
  EXPECT_EQ(kernel("10")["attach_type"], "47");
}

TEST_F(Output, DispatcherAsJson) {
  auto one = std::string(R"({"key":{"type":"xdp","nsid":4026531840,"ifindex":3},"revision":4,)") +
             R"("runtime":{"program_id":60,"kernel_link_id":108,"netns_path":""},"members":[{"program_id":40,"program_name":"pass",)"
             R"("prog_pin_path":"/run/bpfman/fs/prog_40","link_id":8,"kernel_link_id":108,)"
             R"("link_pin_path":"/run/bpfman/fs/xdp/dispatcher_4026531840_3/link_8","position":0,"priority":50,)"
             R"("proceed_on":2147483652,"ifname":"eth0","metadata":null}],"engine":"tailcall","counting":"off"})";
  EXPECT_EQ(compact(daemon.bpfman("dispatcher get xdp 4026531840 3 -o json").out), one);
  EXPECT_EQ(compact(daemon.bpfman("dispatcher list -o json").out), R"({"dispatchers":[)" + one + "]}");
  EXPECT_EQ(daemon.bpfman("dispatcher list --ifindex 99 -o json").out, "{\n  \"dispatchers\": []\n}\n");
}

TEST_F(Output, CountersOfADispatcher) {
  auto json = Json::parse(daemon.bpfman("dispatcher get xdp 4026531840 4 -o json").out);
  EXPECT_EQ(json["counting"], "time");
  EXPECT_EQ(json["members"][0]["counters"].dump(),
            R"({"seen":100,"passed_on":70,"dropped":10,"redirected":5,)"
            R"("final_verdicts":{"aborted":2,"drop":8,"tx":6,"redirect":5,"unknown":9},"timed_runs":40,"run_time_ns":1234})");
  auto text = daemon.bpfman("dispatcher get xdp 4026531840 4").out;
  EXPECT_EQ(text.substr(text.find("  Counting")),
            "  Counting: time\n"
            "    POS  FUNCTION NAME  SEEN  PASSED ON  DROPPED  REDIRECTED  OTHER FINAL VERDICTS  TIMED RUNS  RUN TIME\n"
            "    0    pass           100   70         10       5           tx 6, unknown 9       40          1234 ns\n");
  text = daemon.bpfman("dispatcher get xdp 4026531840 3").out;
  EXPECT_EQ(text.substr(text.find("  Counting")), "  Counting: off (on: bpfman dispatcher count xdp 4026531840 3 verdicts|time)\n");
  text = daemon.bpfman("dispatcher get xdp 4026531840 5").out;
  EXPECT_EQ(text.substr(text.find("  Counting")), "  Counting: off (engine libxdp has no counters)\n");
  EXPECT_EQ(Json::parse(daemon.bpfman("dispatcher get xdp 4026531840 5 -o json").out)["no_counters"], "engine libxdp has no counters");
}

TEST_F(Output, OverviewAsJsonAndText) {
  EXPECT_EQ(compact(daemon.bpfman("overview -o json").out),
            R"({"attachments":[{"hook":"tc ingress","target":"eth0","ifindex":3,"nsid":4026531840,"position":null,"program_id":7,)"
            R"("program_name":"cil_from_netdev","kernel_link_id":null,"managed":false,"how":"filter"}],)"
            R"("notes":["cgroups were not looked at: no cgroup2 hierarchy"]})");
  EXPECT_EQ(daemon.bpfman("overview").out,
            "HOOK        TARGET  POS  PROGRAM ID  FUNCTION NAME    KERNEL LINK ID  MANAGED  HOW\n"
            "tc ingress  eth0    -    7           cil_from_netdev  <none>          no       filter\n"
            "note: cgroups were not looked at: no cgroup2 hierarchy\n");
}

TEST_F(Output, Tables) {
  EXPECT_EQ(daemon.bpfman("program list").out,
            "PROGRAM ID  APPLICATION  TYPE        FUNCTION NAME          LINK IDS\n"
            "40          edge         xdp         pass_with_a_long_name  8\n"
            "41                       tracepoint  on_kill                <none>\n"
            "42                       tcx         count                  10\n");
  EXPECT_EQ(daemon.bpfman("link list").out,
            "LINK ID  KERNEL LINK ID  KIND        PROGRAM ID  FUNCTION NAME          ATTACHMENT\n"
            "8        108             xdp         40          pass_with_a_long_name  eth0 pos-0\n"
            "9        109             tracepoint  41          on_kill                syscalls/sys_enter_kill\n"
            "10       110             tcx         42          count                  eth0 egress pos-0 netns=/run/netns/blue\n");
  EXPECT_EQ(daemon.bpfman("dispatcher").out,
            "TYPE  NSID        IFINDEX  REVISION  PROGRAM ID  KERNEL LINK ID  PRIORITY  HANDLE  MEMBERS  NETNS\n"
            "xdp   4026531840  3        4         60          108                               1\n");
  EXPECT_EQ(daemon.bpfman("program list -q").out, "40\n41\n42\n");
  EXPECT_EQ(daemon.bpfman("link list -q -o json").out, "8\n9\n10\n");
  EXPECT_EQ(daemon.bpfman("program list -q --all --type tc").out, "7\n");  // the fake does not filter: ours go, by their own words
  EXPECT_EQ(daemon.bpfman("program list -q -l team=net").out, "40\n");
  EXPECT_EQ(daemon.bpfman("program list -q -l '!team' --all").out, "7\n41\n42\n");
}

TEST_F(Output, Sheets) {
  EXPECT_EQ(daemon.bpfman("link get 8").out,
            "Link ID: 8\n"
            "  Spec:\n"
            "    BPF Function:      pass_with_a_long_name\n"
            "    Interface:         eth0\n"
            "    Kernel Link ID:    108\n"
            "    Metadata:          None\n"
            "    Network Namespace: None\n"
            "    Pin Path:          /run/bpfman/fs/links/8\n"
            "    Position:          0\n"
            "    Priority:          50\n"
            "    Proceed On:        pass,dispatcher_return\n"
            "    Program ID:        40\n"
            "    Type:              xdp\n"
            "  Status:\n"
            "    Kernel Seen: true\n"
            "    Pin Present: true\n");
  auto program = daemon.bpfman("program get 40").out;
  EXPECT_EQ(program.find("Program ID: 40\n  Spec:\n    GPL Compatible: true\n    Global:         weight=0x0100ff\n"), 0u) << program;
  EXPECT_NE(program.find("    Links:\n      8 eth0 pos-0\n    Maps:\n      70 packet_counters_by_cpu percpuarray\n"), std::string::npos);
  EXPECT_NE(program.find("    Run Count:        unknown: statistics are off\n"), std::string::npos) << program;
  EXPECT_NE(daemon.bpfman("dispatcher get xdp 4026531840 3").out.find("  Members (1):\n    POS  PRIORITY"), std::string::npos);
  auto version = daemon.bpfman("version").out;
  EXPECT_NE(version.find("Daemon:      9.9 (protocol 1)\nXDP engine:  tailcall (the kernel"), std::string::npos) << version;
  EXPECT_NE(version.find("\nTC engine:   freplace (the configuration says so)\n"), std::string::npos) << version;
}

TEST_F(Output, VerifierRefusalShowsTheWholeLog) {
  std::ofstream(daemon.runtimeDir() + "/a.o") << "ELF!";
  auto outcome = daemon.bpfman("program load file " + daemon.runtimeDir() + "/a.o --programs xdp:bad -o json");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err,
            "bpfman: error: load program: permission denied:\n\t0: R1=ctx()\n\t1: (71) r0 = *(u8 *)(r1 +100)\n"
            "\tinvalid access to packet\n");
}

TEST_F(Output, VerifierRefusalIsExplainedAndTheLogIsShownOnDemand) {
  std::ofstream(daemon.runtimeDir() + "/a.o") << "ELF!";
  std::string load = "program load file " + daemon.runtimeDir() + "/a.o --programs ";
  EXPECT_EQ(daemon.bpfman(load + "xdp:bad_explained").err,
            "bpfman: error: load program: permission denied:\n\tinstruction: 1: (71) r0\n\tverifier:    invalid access\n"
            "\t(the verifier's whole log: program load --log-level 1)\n");
  EXPECT_NE(daemon.bpfman(load + "xdp:bad_explained --log-level 1").err.find("\t1: (71) r0 = *(u8 *)(r1 +100)\n"), std::string::npos);
  EXPECT_NE(daemon.bpfman(load + "xdp:p --log-level 1 -o json").out.find("\"verifier_log\": \"processed 2 insns\\n\""), std::string::npos);
  EXPECT_TRUE(daemon.bpfman(load + "xdp:p --log-level 1").out.ends_with("\nVerifier's log:\nprocessed 2 insns\n"));
}

TEST_F(Output, SeveralIdsGoOnAfterAFailure) {
  auto unloaded = daemon.bpfman("program unload 5 40 6");
  EXPECT_EQ(unloaded.code, 1);
  EXPECT_EQ(unloaded.err,
            "program 5: program 5 does not exist\nprogram 6: program 6 does not exist\n"
            "bpfman: error: 2 of 3 program(s) failed to unload\n");
  auto detached = daemon.bpfman("link detach 77 9 8 --ignore-missing");
  EXPECT_EQ(detached.code, 1);
  EXPECT_EQ(detached.err, "link 9: link 9 is held by its dispatcher\nbpfman: error: 1 of 3 link(s) failed to detach\n");
  EXPECT_EQ(daemon.takeCalls(), (std::vector<std::string>{"unload 40", "detach 9", "detach 8"}));
}

TEST_F(Output, AFullDiskIsAnError) {
  auto outcome = daemon.bpfman("program list -o json >/dev/full #");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(daemon.bpfman("program list --runtime-dir /nowhere").err,
            "bpfman: error: bpfmand is not running: no socket at /nowhere/bpfman.sock; start it with 'systemctl start bpfman' or "
            "'bpfman serve'\n");
}

TEST_F(Output, ADaemonThatAcceptsAndNeverAnswersIsGivenUp) {
  auto mute = daemon.runtimeDir() + "/mute";
  ASSERT_EQ(mkdir(mute.c_str(), 0755), 0);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, (mute + "/bpfman.sock").c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  auto outcome = daemon.bpfman("program list --lock-timeout 100ms --runtime-dir " + mute);
  close(listener);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "bpfman: error: bpfmand accepts connections in " + mute + " but did not answer within 100ms: look at its log\n");
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"A", "EMPTY", "B"});
  table.row({"long cell", "", "x"});
  table.elideIfEmpty(1);
  std::ostringstream out;
  table.print(out, "> ");
  EXPECT_EQ(out.str(), "> A          B\n> long cell  x\n");
}

TEST(Time, IsRfc3339InUtc) { EXPECT_EQ(timeText(1'700'000'000'999'999'999), "2023-11-14T22:13:20Z"); }

}  // namespace
}  // namespace bpfman
