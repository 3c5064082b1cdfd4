// The command lines of every sub-command, in the newer and the older grammar: what the daemon is asked, and what is refused before it
// is asked. The real binary is run against a fake daemon.
#include "cli/fake-daemon.h"
#include "cli/grammar.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

namespace bpfman {
namespace {

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string result;
  for (auto& word : words) result += (result.empty() ? "" : separator) + word;
  return result;
}

struct Line {
  const char* arguments;
  const char* expected;  // the calls, joined by "; ", or the beginning of the error
};

class CommandLine : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(daemon.runtimeDir() + "/a.o") << "ELF!"; }

  std::string at(std::string text) {  // D: the temporary directory
    for (size_t i; (i = text.find("$D")) != std::string::npos;) text.replace(i, 2, daemon.runtimeDir());
    return text;
  }

  void asks(std::initializer_list<Line> lines) {
    for (auto& line : lines) {
      auto outcome = daemon.bpfman(at(line.arguments));
      EXPECT_EQ(outcome.code, 0) << line.arguments << "\n" << outcome.err;
      EXPECT_EQ(outcome.err, "") << line.arguments;
      EXPECT_EQ(joined(daemon.takeCalls(), "; "), at(line.expected)) << line.arguments;
    }
  }

  void refuses(std::initializer_list<Line> lines) {
    for (auto& line : lines) {
      auto outcome = daemon.bpfman(at(line.arguments));
      EXPECT_EQ(outcome.code, 1) << line.arguments;
      EXPECT_EQ(outcome.out, "") << line.arguments;
      EXPECT_NE(outcome.err.find(at(std::string("bpfman: error: ") + line.expected)), std::string::npos) << line.arguments << "\n"
                                                                                                         << outcome.err;
      EXPECT_EQ(joined(daemon.takeCalls(), "; "), "") << line.arguments;
    }
  }

  FakeDaemon daemon;
};

TEST_F(CommandLine, Load) {
  asks({
      {"program load file $D/a.o --programs xdp:pass", "load $D/a.o xdp:pass: 4 bytes sealed"},
      {"program load $D/a.o --programs xdp:pass -o json", "load $D/a.o xdp:pass: 4 bytes sealed"},
      {"program load file --programs raw_tp:x $D/a.o --programs tp_btf:y:sched_switch,tcx:z",
       "load $D/a.o raw_tp:x: tp_btf:y:sched_switch tcx:z: 4 bytes sealed"},
      {"program load file $D/a.o --programs xdp:p -g w=0x01ff -g v=02 -m a=b -m c=d=e -a edge --map-owner-id 40",
       "load $D/a.o xdp:p: global w=1, 255 global v=2 metadata a=b,c=d=e application edge owner 40 4 bytes sealed"},
      {"program load file $D/a.o --programs xdp:p --global w=01 --metadata a= --application e --output text",
       "load $D/a.o xdp:p: global w=1 metadata a= application e 4 bytes sealed"},
      {"program load $D/a.o --persistent --programs xdp:pass", "load $D/a.o xdp:pass: persistent 4 bytes sealed"},
      {"program load file $D/a.o --programs xdp:pass --engine tailcall", "load $D/a.o xdp:pass: engine tailcall 4 bytes sealed"},
      {"program load $D/a.o --all-programs --log-level 5 --map-size a=7 --map-size b=8",
       "load $D/a.o all programs size a=7 size b=8 log level 5 4 bytes sealed"},
      {"program load $D/a.o --programs tcx:z --signature z=$D/a.o --keyring 77 --to-sign /tmp",
       "load $D/a.o tcx:z: signature of z, 4 bytes, keyring 77 to sign 4 bytes sealed"},
      {"program load $D/a.o --programs pass,tcx:z --btf $D/a.o", "load $D/a.o inferred:pass: tcx:z: with BTF 4 bytes sealed"},
      {"program load $D/a.o --programs xdp:p --set t=5 -g w=01 --set 'c={\"a\":[1,2]}' --set n=a=b",
       "load $D/a.o xdp:p: global w=1 global t=5 global c={\"a\":[1,2]} global n=a=b 4 bytes sealed"},
      {"program set 40 t=-5 'l=[1,2]' -g w=0102", "set 40 w=1, 2 t=-5 l=[1,2]"},
      {"load file -p $D/a.o --programs xdp:pass", "load $D/a.o xdp:pass: 4 bytes sealed"},
      {"load file --programs xdp:pass --path $D/a.o -m k=v", "load $D/a.o xdp:pass: metadata k=v 4 bytes sealed"},
  });
  refuses({
      {"program load file $D/a.o", "either --programs or --all-programs"},
      {"program load file $D/a.o --programs xdp:p --all-programs", "either --programs or --all-programs"},
      {"program load file $D/a.o --programs xdp:p --map-size a=0", "--map-size \"a=0\": expected NAME=ENTRIES"},
      {"program load file $D/a.o --programs xdp:p --keyring builtin", "--keyring requires --signature"},
      {"program load file $D/a.o --programs xdp:p --signature p=$D/none", "--signature \"p=$D/none\": $D/none can't be read"},
      {"program load file $D/a.o --programs xdp:p --signature p=$D/a.o --keyring mine",
       "--keyring \"mine\": expected builtin, secondary, platform"},
      {"program load file $D/a.o --programs xdp:p --set t", "variable \"t\": expected NAME=VALUE"},
      {"program load file $D/a.o --programs xdp:p --set t=", "variable \"t=\": the value is empty"},
      {"program set 40", "program set: name a variable"},
      {"program load file --programs xdp:p", "PATH is required"},
      {"program load file $D/none.o --programs xdp:p", "open bytecode $D/none.o: No such file or directory"},
      {"program load file $D --programs xdp:p", "bytecode $D is a directory"},
      {"program load file $D/a.o --programs xdp:", "--programs \"xdp:\": expected [TYPE:]NAME[:ATTACH_FUNC]"},
      {"program load file $D/a.o --programs xdp:p -g w=1", "--global \"w=1\": the value needs two"},
      {"program load file $D/a.o --programs xdp:p -m w", "--metadata \"w\": expected KEY=VALUE"},
      {"program load file $D/a.o --programs xdp:p --engine fast", "--engine: fast not in {auto,libxdp,freplace,tailcall}"},
      {"program load file $D/a.o --programs xdp:p --map-owner-id x", "Could not convert: --map-owner-id = x"},
      {"program load image quay.io/x --programs xdp:p", "'load image' is not supported"},
      {"program load", "'bpfman program load' needs a command: file"},
  });
}

TEST_F(CommandLine, ProgramList) {
  const char* all = "list types  application  metadata ";
  asks({
      {"program", all},
      {"program list", all},
      {"list programs", all},
      {"--runtime-dir $D program -q", all},
      {"program --runtime-dir=$D list -o json", all},
      {"program list --lock-timeout 5m --config /x --log info,manager=debug --image-cache-dir /y", all},
      {"program --all", "list all types  application  metadata "},
      {"program list -a --type xdp,tcx --program-type tracepoint", "list all types xdp,tcx,tracepoint,schedcls application  metadata "},
      {"program list --type raw_tp", "list types raw_tp application  metadata "},
      {"program list -p xdp --application edge", "list types xdp application edge metadata "},
      {"program list -m a=b --metadata-selector c=d", "list types  application  metadata a=b,c=d"},
      {"program list --attached", "list types  application  metadata  attached"},
      {"list programs --unattached --all", "list all types  application  metadata  unattached"},
  });
  refuses({
      {"program list --attached --unattached", "--attached excludes --unattached"},
      {"program list 5", "unexpected argument: 5"},
      {"program list -l 'a b'", "selector \"a b\": expected"},
      {"program list -m a", "--metadata-selector \"a\": expected KEY=VALUE"},
      {"program -o yaml", "--output: yaml not in {"},
  });
}

TEST_F(CommandLine, ProgramGetUnloadDelete) {
  asks({
      {"program get 40", ""},
      {"get program 40 -o json", ""},
      {"program unload 40 41", "unload 40; unload 41"},
      {"unload 42", "unload 42"},
      {"program unload 5 40 --ignore-missing", "unload 40"},
      {"program delete 42", "unload 42"},
      {"program delete 42 41 -r", "list types  application  metadata ; unload 42; unload 41"},
      {"program delete 40 -r", "list types  application  metadata ; unload 41; unload 40"},
      {"program delete --all", "list types  application  metadata ; unload 41; unload 40; unload 42"},
  });
  refuses({
      {"program get", "PROGRAM is required"},
      {"program get x", "Could not convert: PROGRAM = x"},
      {"program get 99", "record not found"},
      {"program unload", "PROGRAM is required"},
      {"program delete", "program delete: name programs by their ids, or all with --all"},
      {"program delete 1 --all", "PROGRAM excludes --all"},
  });
}

TEST_F(CommandLine, TakingAProgramNamesItByItsPinOrItsId) {
  refuses({
      {"program take", "program take: either --pinned or --id says which program"},
      {"program take --pinned /x --id 3", "--pinned excludes --id"},
      {"program take --pinned /nowhere", "open the pin /nowhere: "},
      {"program take --id 4294967295", "open program 4294967295: "},
      {"program take --id x", "Could not convert: --id = x"},
      {"program take --pinned /x 5", "unexpected argument: 5"},
  });
}

TEST_F(CommandLine, Attach) {
  asks({
      {"link attach xdp 40 eth0 --priority 50", "attach 40 xdp eth0 priority 50 proceed "},
      {"link attach xdp 40 eth0", "attach 40 xdp eth0 priority -1 proceed "},
      {"link attach xdp 40 eth0 --adopt", "attach 40 xdp eth0 priority -1 proceed  adopt as 50"},
      {"link attach xdp 40 eth0 -p 5 --adopt --adopted-priority 7", "attach 40 xdp eth0 priority 5 proceed  adopt as 7"},
      {"link attach xdp 40 eth0 -p 0 --proceed-on pass,4,dispatcher_return -m a=b -o json",
       "attach 40 xdp eth0 priority 0 proceed 2,4,31 metadata a=b"},
      {"link attach xdp -p 3 --netns /proc/self/ns/net 40 eth0", "attach 40 xdp eth0 priority 3 proceed  netns ours"},
      {"attach 40 xdp --iface eth0 --priority 100 --proceed-on drop", "attach 40 xdp eth0 priority 100 proceed 1"},
      {"attach 40 xdp -i eth0 -p 100 -n /proc/self/ns/net", "attach 40 xdp eth0 priority 100 proceed  netns ours"},
      {"link attach tc 42 eth0 egress -p 7", "attach 42 tc eth0 egress priority 7 proceed "},
      {"link attach tc 42 eth0 ingress --priority 0 --proceed-on ok,pipe,dispatcher_return --netns /proc/self/ns/net",
       "attach 42 tc eth0 ingress priority 0 proceed 0,3,30 netns ours"},
      {"attach 42 tc -d ingress -i eth0 -p 7 --proceed-on unspec", "attach 42 tc eth0 ingress priority 7 proceed -1"},
      {"link attach xdp 40 eth0 -p 5 --before link:8,41 --after firewall",
       "attach 40 xdp eth0 priority 5 proceed  before link 8,41 after firewall"},
      {"link attach tcx 42 eth0 ingress -p 7", "attach 42 tcx eth0 ingress priority 7"},
      {"link attach tcx 42 eth0 egress --priority 7 -n /proc/self/ns/net --metadata a=b",
       "attach 42 tcx eth0 egress priority 7 metadata a=b netns ours"},
      {"attach 42 tcx -d egress -i eth0 -p 7", "attach 42 tcx eth0 egress priority 7"},
      {"link attach tracepoint 41 syscalls/sys_enter_kill", "attach 41 tracepoint syscalls|sys_enter_kill"},
      {"attach 41 tracepoint -t syscalls/sys_enter_kill -m a=b", "attach 41 tracepoint syscalls|sys_enter_kill metadata a=b"},
      {"link attach raw_tp 41 sched_switch", "attach 41 raw_tp 'sched_switch'"},
      {"link attach raw_tp 41", "attach 41 raw_tp ''"},
      {"link attach tp_btf 41", "attach 41 tp_btf"},
      {"attach 41 tp_btf", "attach 41 tp_btf"},
      {"link attach fentry 41", "attach 41 (fixed = fentry)"},
      {"attach 41 lsm", "attach 41 (fixed = lsm)"},
      {"link attach kprobe 41", "attach 41 (kprobe = (function = \"\", offset = 0))"},
      {"link attach kprobe 41 do_unlinkat --offset 4", "attach 41 (kprobe = (function = \"do_unlinkat\", offset = 4))"},
      {"attach 41 kprobe -f do_unlinkat", "attach 41 (kprobe = (function = \"do_unlinkat\", offset = 0))"},
      {"link attach kprobe.multi 41 vfs_read 'vfs_w*'", "attach 41 (kprobeMulti = [\"vfs_read\", \"vfs_w*\"])"},
      {"link attach perf_event 41 cycles --period 1000 --cpu 1",
       "attach 41 (perfEvent = (event = (hardware = 0), sampling = (period = 1000), cpu = 1))"},
      {"link attach perf_event 41 cpu-clock --frequency 99 --cpu 0",
       "attach 41 (perfEvent = (event = (software = 0), sampling = (frequency = 99), cpu = 0))"},
      {"link attach iter 41 --map 7", "attach 41 (iterator = 7)"},
      {"link attach sk_lookup 41", "attach 41 (netns = ())"},
      {"link attach netfilter 41 ipv6 forward -p -5 --defragment",
       "attach 41 (netfilter = (family = 10, hook = 2, priority = -5, defragment = true))"},
      {"link attach netkit 41 nk0 peer -p 5", "attach 41 (netkit = (interface = \"nk0\", peer = true, priority = 5))"},
      {"link attach sockmap 41 7", "attach 41 (sockets = 7)"},
      {"link attach struct_ops 41", "attach 41 (structOps = \"\")"},
      {"link attach struct_ops 41 reno", "attach 41 (structOps = \"reno\")"},
  });
  refuses({
      {"link attach tcx 40 eth0 ingress", "--priority is required"},
      {"link attach xdp 40 eth0 -p -1", "--priority: Value -1 not in range"},
      {"link attach xdp 40", "INTERFACE is required"},
      {"link attach xdp 40 eth0 --adopted-priority 7", "--adopted-priority requires --adopt"},
      {"link attach tc 40 eth0 ingress -p 1 --adopt", "unexpected"},
      {"link attach xdp eth0 40 -p 1", "Could not convert: PROGRAM = eth0"},
      {"link attach xdp 40 eth0 -p 1 --proceed-on ok", "unknown verdict \"ok\" in --proceed-on"},
      {"link attach tc 42 eth0 ingress -p 1 --proceed-on pass", "unknown verdict \"pass\" in --proceed-on: known are unspec"},
      {"link attach tc 42 eth0 -p 1", "DIRECTION is required"},
      {"link attach xdp 40 eth0 -p 1 --before link:x", "\"link:x\": expected link:ID, a program's id or a function's name"},
      {"link attach xdp 40 eth0 -p 1 --netns $D/a.o", "$D/a.o is not a network namespace"},
      {"link attach xdp 40 eth0 -p 1 --netns $D/none", "open network namespace $D/none: No such file"},
      {"link attach xdp 99 eth0 -p 1", "record not found"},
      {"link attach tcx 42 eth0 -p 1", "DIRECTION is required"},
      {"link attach tcx 42 eth0 sideways -p 1", "unknown direction \"sideways\""},
      {"link attach tracepoint 41 sys_enter_kill", "tracepoint \"sys_enter_kill\": expected GROUP/NAME"},
      {"link attach tracepoint 41 a/b/c", "tracepoint \"a/b/c\": expected GROUP/NAME"},
      {"link attach tp_btf 41 x", "unexpected argument: x"},
      {"link attach perf_event 41 cycels --cpu 0", "unknown event \"cycels\": known are cpu-clock, task-clock, page-faults"},
      {"link attach perf_event 41 cycles --period 5 --frequency 5", "--period excludes --frequency"},
      {"link attach netkit 41 nk0 ingress -p 5", "SIDE: ingress not in {primary,peer}"},
      {"link attach netfilter 41 ipv4 output", "--priority is required"},
      {"link attach netfilter 41 ipx output -p 1", "FAMILY: ipx not in {ipv4,ipv6}"},
      {"link attach sockmap 41", "MAP is required"},
      {"link attach", "'bpfman link attach' needs a command: xdp, tc, tcx, netkit, tracepoint, raw_tp, tp_btf, fentry"},
      {"attach 40", "'bpfman attach' needs a command: xdp"},
  });
}

TEST_F(CommandLine, Links) {
  const char* all = "links program 0 kinds  application  metadata ";
  asks({
      {"link", all},
      {"link list -o json", all},
      {"list links", all},
      {"link --kind xdp,tcx -p tracepoint", "links program 0 kinds xdp,tcx,tracepoint application  metadata "},
      {"link --kind raw_tp", "links program 0 kinds raw_tp application  metadata "},
      {"link list --program-type xdp --program-id 40", "links program 40 kinds xdp application  metadata "},
      {"link list --application e --metadata-selector a=b -m c=d", "links program 0 kinds  application e metadata a=b,c=d"},
      {"link get 8", ""},
      {"get link 8 -o json", ""},
      {"link detach 8", "detach 8"},
      {"detach 10", "detach 10"},
      {"link delete 8 10 -r", "detach 8; detach 10"},
      {"link detach 77 --ignore-missing", ""},
  });
  refuses({
      {"link get 77", "not found"},
      {"link detach", "LINK is required"},
      {"link list --kind", "--kind: 1 required"},
  });
}

TEST_F(CommandLine, DispatcherOverviewAndTheRest) {
  asks({
      {"dispatcher", "dispatchers '' 0 0"},
      {"dispatcher list --type xdp --nsid 4026531840 --ifindex 3 -o json", "dispatchers 'xdp' 4026531840 3"},
      {"dispatcher get xdp 4026531840 3", "dispatchers 'xdp' 4026531840 3"},
      {"dispatcher count xdp 4026531840 3 verdicts", "count 'xdp' 4026531840 3 1"},
      {"dispatcher count tc-egress 4026531840 3 time", "count 'tc-egress' 4026531840 3 2"},
      {"dispatcher count xdp 4026531840 3 off", "count 'xdp' 4026531840 3 0"},
      {"overview", ""},
      {"overview -o json", ""},
      {"version", ""},
      {"--help", ""},
      {"help link attach xdp", ""},
      {"link attach xdp -h", ""},
  });
  struct stat netns;
  ASSERT_EQ(stat("/proc/self/ns/net", &netns), 0);
  auto lo = "'xdp' " + std::to_string(netns.st_ino) + " 1";
  asks({{"dispatcher get xdp lo", ("dispatchers " + lo).c_str()}, {"dispatcher count xdp lo off", ("count " + lo + " 0").c_str()}});
  EXPECT_EQ(daemon.bpfman("dispatcher get xdp 4026531840 99 -o json").err,
            "bpfman: error: dispatcher (xdp, 4026531840, 99): record not found\n");
  daemon.takeCalls();
  refuses({
      {"dispatcher get udp 1 2", "TYPE: udp not in {"},
      {"dispatcher get xdp 1", "interface \"1\" does not exist here"},
      {"dispatcher get xdp", "HOOK is required"},
      {"dispatcher get xdp lo 1", "Could not convert: NSID = lo"},
      {"dispatcher count xdp 1 2x off", "Could not convert: IFINDEX = 2x"},
      {"dispatcher count xdp off", "HOOK: At least 2 required but received 1"},
      {"dispatcher count xdp none0 off", "interface \"none0\" does not exist here; name it, or give NSID IFINDEX"},
      {"dispatcher count xdp lo on", "unknown counting \"on\": off, verdicts or time"},
      {"",
       "'bpfman' needs a command: program, link, dispatcher, change, token, confirm, revert, overview, memory, host, audit, policy, "
       "version, "
       "serve"},
      {"nonsense", "unexpected argument: nonsense"},
      {"image build a b", "'image' is not supported"},
  });
}

TEST(SpellOut, WritesWhatWasLeftOut) {
  struct {
    std::vector<std::string> given, expected;
  } cases[] = {
      {{"program"}, {"program", "list"}},
      {{"link", "-q"}, {"link", "list", "-q"}},
      {{"program", "-h"}, {"program", "-h"}},
      {{"program", "--config", "x", "get", "4"}, {"program", "--config", "x", "get", "4"}},
      {{"--log=x", "program", "load", "a.o"}, {"--log=x", "program", "load", "file", "a.o"}},
      {{"program", "load", "--programs", "xdp:a", "file.o"}, {"program", "load", "file", "--programs", "xdp:a", "file.o"}},
      {{"load", "file", "-p", "x"}, {"load", "file", "-p", "x"}},
      {{"help", "link"}, {"link", "--help"}},
      {{"--runtime-dir"}, {"--runtime-dir"}},
      {{}, {}},
  };
  for (auto& one : cases) EXPECT_EQ(spellOut(one.given), one.expected) << joined(one.given, " ");
}

}  // namespace
}  // namespace bpfman
