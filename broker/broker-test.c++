// What the broker starts, confines, supervises and opens, and what it refuses.
#include <linux/btf.h>
#include <sys/syscall.h>

#include "schema/program-types.h"
#include "broker/broker-fixture.h"

namespace bpfman {
namespace {

TEST_F(Broker, FrontendHasNoPrivilegeAndOnlyItsDescriptors) {
  start();
  auto frontend = see(ask("report"));
  expectIdentity(frontend, BASE, 0);
  EXPECT_EQ(frontend.descriptors, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 ");
}

TEST_F(Broker, WorkerHasItsThreeCapabilitiesAndTheBpffsAsItsRoot) {
  start();
  fs::create_directory(run() + "/fs/marker");
  std::string report = ask("0 - - keep");
  EXPECT_TRUE(report.starts_with("0 0 2\n")) << report;
  auto worker = see(report);
  expectIdentity(worker, BASE + 1, WORKER_CAPABILITIES);
  EXPECT_EQ(worker.descriptors, "0 1 2 3 4 ");
  EXPECT_NE(worker.root.find("marker "), std::string::npos) << worker.root;
  EXPECT_EQ(worker.root.find("proc "), std::string::npos) << worker.root;
  EXPECT_NE(worker.limits.find("Max open files            1024                 1024 "), std::string::npos) << worker.limits;
}

TEST_F(Broker, LoaderHasNothing) {
  start();
  auto loader = see(ask("1 - - keep"));
  expectIdentity(loader, BASE + 2, 0);
  EXPECT_EQ(loader.descriptors, "0 1 2 3 4 5 ");
  EXPECT_NE(loader.limits.find("Max processes             0                    0 "), std::string::npos) << loader.limits;
}

TEST_F(Broker, DelegatorHasOneCapabilityAndThereAreFew) {
  start();
  const std::string ONE_MORE = std::to_string(int(wire::BrokerOp::startDelegator)) + " - - keep";
  auto delegator = see(ask(ONE_MORE));
  expectIdentity(delegator, BASE + 3, bit(CAP_SYS_ADMIN));
  EXPECT_EQ(delegator.descriptors, "0 1 2 3 4 ");
  EXPECT_NE(delegator.limits.find("Max processes             0                    0 "), std::string::npos) << delegator.limits;
  for (int i = 1; i < 8; ++i) EXPECT_TRUE(ask(ONE_MORE).starts_with("0 0 1")) << i;
  EXPECT_TRUE(ask(ONE_MORE).starts_with("-24 0 0"));
}

TEST_F(Broker, KeepsOnlyWhatStartingAChildNeeds) {
  start();
  auto broker = see("pid " + std::to_string(pid));
  EXPECT_EQ(broker["CapEff"], hex(BROKER_CAPABILITIES));
  EXPECT_EQ(broker["CapPrm"], hex(BROKER_CAPABILITIES | WORKER_CAPABILITIES));
  EXPECT_EQ(broker["CapBnd"], hex(BROKER_CAPABILITIES | WORKER_CAPABILITIES));
  EXPECT_EQ(broker["CapInh"], hex(0));
  EXPECT_EQ(broker["CapAmb"], hex(0));
  EXPECT_EQ(broker["NoNewPrivs"], "1");
  EXPECT_EQ(broker["Seccomp"], "2");
}

TEST_F(Broker, SecondDaemonIsToldThePidOfTheFirst) {
  start();
  int log;
  pid_t second = spawn(log);
  char buffer[1024] = {};
  (void)!read(log, buffer, sizeof buffer - 1);
  int status;
  waitpid(second, &status, 0);
  close(log);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(std::string(buffer).find("another bpfmand runs in " + run() + ": pid " + std::to_string(pid)), std::string::npos) << buffer;
  EXPECT_FALSE(ask("report").empty()) << "the first one still serves";
}

TEST_F(Broker, KilledBrokerTakesItsChildrenAlongAndItsSuccessorKeepsThePins) {
  start();
  fs::create_directory(run() + "/fs/kept");
  ask("0 - - keep");
  ask("1 - - keep");
  auto children = childrenOf(pid);
  EXPECT_EQ(children.size(), 3u);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  for (pid_t child : children) EXPECT_TRUE(eventually([&] { return !alive(child); }, 1s)) << child;
  start();  // the lock is free, the stale socket no obstacle
  EXPECT_NE(see(ask("0 - - keep")).root.find("kept "), std::string::npos);
}

TEST_F(Broker, FrontendIsRestartedWithGrowingDelay) {
  start();
  auto begin = Clock::now();
  for (int i = 2; i <= 5; ++i) {
    ask("exit");
    ASSERT_TRUE(waitFor(HELLO, 3s, i)) << said;
  }
  auto took = Clock::now() - begin;
  EXPECT_GE(took, 50ms + 100ms + 200ms + 400ms);
  EXPECT_LT(took, 3s);
  EXPECT_NE(said.find("ended with status 1"), std::string::npos);
}

TEST_F(Broker, WorkersOfADeadFrontendAreGoneBeforeTheNextStarts) {
  start();
  ask("0 - - keep");
  auto before = childrenOf(pid);
  ask("exit");
  ASSERT_TRUE(waitFor(HELLO, 5s, 2));
  for (pid_t child : before) EXPECT_FALSE(alive(child));
}

TEST_F(Broker, KindThatDiesTooOftenIsHeldBackWithADelay) {
  start();
  std::string answer;
  int started = 0;
  for (; started < 20 && !(answer = ask("1 - - die")).starts_with("-11 "); ++started) usleep(5000);
  EXPECT_GE(started, 5) << "some are forgiven";
  ASSERT_TRUE(answer.starts_with("-11 ")) << answer;
  int delay = std::stoi(answer.substr(4));
  EXPECT_GT(delay, 0);
  usleep((delay + 5) * 1000);
  EXPECT_TRUE(ask("1 - - keep").starts_with("0 0 2"));
  EXPECT_TRUE(ask("0 - - keep").starts_with("0 0 2")) << "another kind is not held back";
}

TEST_F(Broker, TerminatesWithinTwoSecondsAndLeavesPinsMounted) {
  start();
  fs::create_directory(run() + "/fs/kept");
  ask("0 - - keep");
  auto children = childrenOf(pid);
  kill(pid, SIGTERM);
  int status = -1;
  EXPECT_TRUE(eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; }, 2s));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  pid = 0;
  for (pid_t child : children) EXPECT_FALSE(alive(child));
  EXPECT_TRUE(fs::exists(run() + "/fs/kept"));
}

TEST_F(Broker, HangupReadsThePolicyAgainAndOpensTheSocketToAll) {
  start();
  struct stat about;
  ASSERT_EQ(stat((run() + "/bpfman.sock").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0660u);
  write("policy.toml", "right");
  kill(pid, SIGHUP);
  ASSERT_TRUE(waitFor(HELLO, 3s, 2)) << said;
  ASSERT_EQ(stat((run() + "/bpfman.sock").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0666u);
}

// In place or by rename; what the frontend did not take is never given to it as the last right one.
TEST_F(Broker, KeepsTheLastPolicyThatTheFrontendTook) {
  start();
  EXPECT_TRUE(waitFor("policy , kept nothing")) << said;
  int hangups = 1;
  auto hangUp = [&] {
    kill(pid, SIGHUP);
    return waitFor(HELLO, 3s, ++hangups);
  };
  write("policy.toml", "wrong 1");
  ASSERT_TRUE(hangUp() && waitFor("policy wrong 1, kept \n")) << said;
  struct stat about;
  ASSERT_EQ(stat((run() + "/bpfman.sock").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0660u);
  write("policy.toml", "right 2");
  ASSERT_TRUE(hangUp() && waitFor("policy right 2, kept \n")) << said;
  write("policy.toml", "wrong 3");
  ASSERT_TRUE(hangUp() && waitFor("policy wrong 3, kept right 2")) << said;
  ask("exit");
  ASSERT_TRUE(waitFor("policy wrong 3, kept right 2", 3s, 2) && waitFor(HELLO, 3s, ++hangups)) << said;
  write("new.toml", "right 4");
  fs::rename(directory + "/new.toml", directory + "/policy.toml");
  ASSERT_TRUE(hangUp() && waitFor("policy right 4, kept right 2")) << said;
  EXPECT_EQ(ask("report").substr(0, 3), "pid");
}

TEST_F(Broker, DoesNotStartWithAWrongPolicy) {
  write("policy.toml", "wrong");
  EXPECT_EQ(failure(), 1);
  EXPECT_FALSE(waitFor(HELLO, 0s));
}

TEST_F(Broker, LogLinesArePrefixedAndHarmless) {
  start();
  ask("say \x1b[31mred\x07");
  ASSERT_TRUE(waitFor("?[31mred?")) << said;
  EXPECT_NE(said.find("bpfman-frontend["), std::string::npos);
  ask("say long");
  ASSERT_TRUE(waitFor("xxx\n")) << said.size();
  size_t longest = 0, start = said.find("xxx");
  while (said[start + longest] == 'x') ++longest;
  EXPECT_EQ(longest, 8u << 10);
}

TEST_F(Broker, TracepointIsOpenedByTwoWordsOnly) {
  start();
  std::string opened = ask("2 sched sched_switch");
  if (opened.starts_with("-95")) CANNOT_RUN("no tracefs in this kernel");
  EXPECT_EQ(opened, "0 0 1\nanon_inode:[perf_event]\n");
  EXPECT_TRUE(ask("2 sched no_such_event").starts_with("-2 0 0"));
  EXPECT_TRUE(ask("2 ../events sched_switch").starts_with("-22 0 0"));
  EXPECT_TRUE(ask("2 sched ../sched_switch").starts_with("-22 0 0"));
  EXPECT_TRUE(ask("2 sched/ x").starts_with("-22 0 0"));
  EXPECT_TRUE(ask("2 - sched_switch").starts_with("-22 0 0")) << "empty";
}

TEST_F(Broker, UprobeIsOpenedInABinaryOnly) {
  start();
  EXPECT_TRUE(ask("2 - - uprobe").starts_with("-2 0 0")) << "no descriptor";
  for (auto path : {"/dev/null", "/"}) {
    int file = open(path, O_RDONLY);
    EXPECT_TRUE(ask("2 - - uprobe", file).starts_with("-22 0 0")) << path;
    close(file);
  }
}

TEST_F(Broker, KprobeIsOpenedAtAFunctionOnly) {
  start();
  for (auto name : {"-", "a/b", "a-b", "../x"}) EXPECT_TRUE(ask(std::string("2 - ") + name + " kprobe").starts_with("-22 0 0")) << name;
  std::string opened = ask("2 - do_nanosleep kprobe");
  if (access("/sys/bus/event_source/devices/kprobe", F_OK) != 0) {
    EXPECT_TRUE(opened.starts_with("-95 0 0")) << "a kernel without kprobes: " << opened;
    return;
  }
  EXPECT_EQ(opened, "0 0 1\nanon_inode:[perf_event]\n");
  EXPECT_TRUE(ask("2 - no_such_function kprobe").starts_with("-2 0 0"));
}

TEST_F(Broker, PerfEventIsOfACpuOrAProcess) {
  start();
  EXPECT_EQ(ask("2 - - clock"), "0 0 1\nanon_inode:[perf_event]\n") << "the clock of CPU 0";
  EXPECT_TRUE(ask("2 - - nowhere").starts_with("-22 0 0")) << "neither a CPU nor a process";
}

// The kernel's own types lie beside its modules', which are tried in a virtual machine: tests/module_test.py.
TEST_F(Broker, AModulesTypesAreOpenedByItsNameAndNothingElses) {
  bpf_attr load{};  // a program's types, which have no name, lie there too
  constexpr uint32_t TYPES[] = {0xeb9f | 1 << 16, 24, 0, 12, 12, 1, 0, BTF_KIND_PTR << 24, 0, 0};  // a pointer, and no names
  load.btf = reinterpret_cast<uint64_t>(TYPES), load.btf_size = 24 + 12 + 1;
  int types = syscall(SYS_bpf, BPF_BTF_LOAD, &load, sizeof load);
  EXPECT_GE(types, 0) << strerror(errno);
  start();
  const std::string MODULE = std::to_string(int(wire::BrokerOp::openModule)) + " - ";
  EXPECT_EQ(ask(MODULE + "vmlinux"), "0 0 1\nanon_inode:btf\n");
  const std::string LONG(128, 'a');  // without an end
  for (std::string name : {"-", "no_such_module", "../vmlinux", "vmlinux/", LONG.c_str()})
    EXPECT_TRUE(ask(MODULE + name).starts_with("-2 0 0")) << name;
  int descriptor = open("/dev/null", O_RDONLY);
  ask(MODULE + "vmlinux", descriptor);
  EXPECT_TRUE(waitFor("a descriptor that nobody asked for")) << said;
  close(descriptor);
  close(types);
}

TEST_F(Broker, MalformedRequestsEndTheFrontend) {
  start();
  int times = 1;
  const std::string LONG = "2 sched " + std::string(128, 'a');  // without an end
  const std::string UNKNOWN = std::to_string(int(wire::BrokerOp::count)) + " - -";
  for (const char* request : {UNKNOWN.c_str(), "4294967295 - -", "5 - -", "1 - - short", "2 - - returns", "2 - - kind", LONG.c_str()}) {
    ask(request);
    ASSERT_TRUE(waitFor(HELLO, 8s, ++times)) << request << said;
  }
  int descriptor = open("/dev/null", O_RDONLY);
  ask("1 - -", descriptor);
  close(descriptor);
  EXPECT_TRUE(waitFor("a descriptor that nobody asked for")) << said;
}

TEST_F(Broker, WorkerForANetworkNamespaceLivesThere) {
  start();
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  int other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(setns(home, CLONE_NEWNET), 0);
  struct stat there, here;
  fstat(other, &there);
  fstat(home, &here);
  std::string report = ask("0 - - keep", other);
  EXPECT_EQ(see(report).network, there.st_ino);
  EXPECT_EQ(see("pid " + std::to_string(pid)).network, here.st_ino) << "the broker came back";
  int file = open("/dev/null", O_RDONLY);
  EXPECT_TRUE(ask("0 - - keep", file).starts_with("-22 ")) << "not a namespace";
  for (int i = 1; i < 32; ++i) ASSERT_TRUE(ask("0 - - keep", other).starts_with("0 ")) << i;
  EXPECT_TRUE(ask("0 - - keep", other).starts_with("-24 ")) << "the 33rd";
  for (int each : {home, other, file}) close(each);
}

TEST_F(Broker, WrongConfigurationNamesLineAndReason) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[limits]\npool_size = 9\n", "line 2: pool_size is a number from 1 to 8"},
      {"[limits]\n\nnonsense = 1\n", "line 3: unknown key limits.nonsense"},
      {"[other]\n", "line 1: unknown key other"},
      {"[limits\n", "line 1: "},
      {"[$]\n", "line 1: "},
      {"[ceiling]\nprogram_types = [\"xdp\", \"magic\"]\n", "line 2: there is no program type \"magic\""},
      {"[ceiling]\nrefused_helpers = [\"magic\"]\n", "line 2: there is no helper \"magic\""},
      {"[users]\nsocket_group = \"no-such-group\"\n", "there is no group \"no-such-group\""},
      {"[users]\nbase_uid = 65533\n", "uid 65534 belongs to nobody"},
  };
  for (auto [text, reason] : wrong) {
    write("bpfman.toml", text);
    EXPECT_EQ(failure(), 1) << text;
    EXPECT_NE(said.find(reason), std::string::npos) << said;
  }
}

TEST_F(Broker, WrongMountsAreRefused) {
  fs::create_directories(run() + "/fs");
  ASSERT_EQ(mount("tmpfs", (run() + "/fs").c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(failure(), 1);
  EXPECT_NE(said.find("another file system"), std::string::npos) << said;
  ASSERT_EQ(mount("bpf", (run() + "/fs").c_str(), "bpf", 0, nullptr), 0);
  EXPECT_EQ(failure(), 1);
  EXPECT_NE(said.find("stacked"), std::string::npos) << said;
}

TEST_F(Broker, RefusesWhatIsNotItsOwn) {
  fs::create_directories(directory + "/state/precious");
  EXPECT_EQ(failure(), 1);
  EXPECT_NE(said.find("belongs to root and is not empty"), std::string::npos) << said;
  fs::remove_all(directory + "/state");
  fs::create_directories(run());
  write("run/bpfman.sock", "a file");
  EXPECT_EQ(failure(), 1);
  EXPECT_NE(said.find("is not a socket"), std::string::npos) << said;
  fs::remove(run() + "/bpfman.sock");
  fs::remove(directory + "/libexec/bpfman-loader");
  EXPECT_EQ(failure(), 1);
  EXPECT_NE(said.find("bpfman-loader: No such file"), std::string::npos) << said;
}

TEST_F(Broker, StateIsGivenToAChangedUser) {
  start();
  std::string pin = run() + "/fs/pin";  // a directory here; pins are the same to chown
  fs::create_directory(pin);
  ASSERT_EQ(chown(pin.c_str(), BASE + 1, BASE + 1), 0);
  std::string owned = directory + "/state/owned", foreign = directory + "/state/foreign";
  for (auto& path : {owned, foreign}) std::ofstream(path) << "x";
  ASSERT_EQ(chown(owned.c_str(), BASE, BASE), 0);
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  write("bpfman.toml", "[users]\nbase_uid = 2147410000\n");
  start();
  struct stat about;
  stat((directory + "/state").c_str(), &about);
  EXPECT_EQ(about.st_uid, 2147410000u);
  EXPECT_EQ(about.st_mode & 0777, 0700u);
  stat(owned.c_str(), &about);
  EXPECT_EQ(about.st_uid, 2147410000u);
  stat(pin.c_str(), &about);
  EXPECT_EQ(about.st_uid, 2147410001u);
  stat(foreign.c_str(), &about);
  EXPECT_EQ(about.st_uid, 0u) << "what others left there is not given away";
}

TEST_F(Broker, StartsWithAsManyContainersAsTheLimitSays) {
  std::string clients = "[clients]\n";
  for (int i = 0; i < 32; ++i) clients += "c" + std::to_string(i) + " = " + std::to_string(3000 + i) + "\n";
  write("bpfman.toml", clients);
  start();
  EXPECT_EQ(see(ask("report"))["Uid"], ids(BASE));
}

TEST_F(Broker, TakesSystemdsSocketAndTellsItWhenReady) {
  fs::create_directories(run());
  std::string notify = directory + "/notify";
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  auto bindAt = [](int socket, const std::string& path) {
    sockaddr_un address{AF_UNIX, {}};
    strcpy(address.sun_path, path.c_str());
    return bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address);
  };
  ASSERT_EQ(bindAt(listener, run() + "/bpfman.sock"), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  ASSERT_EQ(bindAt(manager, notify), 0);
  ASSERT_EQ(chmod(notify.c_str(), 0777), 0);
  start([&] {
    if (dup2(listener, 3) != 3) _exit(98);
    fcntl(3, F_SETFD, 0);
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("NOTIFY_SOCKET", notify.c_str(), 1);
  });
  EXPECT_EQ(see(ask("report"))["Uid"], ids(BASE));
  char text[64] = {};
  EXPECT_GT(recv(manager, text, sizeof text - 1, 0), 0);
  EXPECT_STREQ(text, "READY=1\n");
  close(listener);
  close(manager);
}

TEST(Options, DefaultCeilingOffersWhatThisVersionHas) {
  wire::Ceiling ceiling = defaultCeiling();
  EXPECT_TRUE(ceiling.programTypes & 1ull << BPF_PROG_TYPE_XDP);
  for (auto& row : programTypes()) EXPECT_TRUE(ceiling.programTypes >> row.kernelType & 1) << row.name.cStr();
  EXPECT_FALSE(ceiling.programTypes & 1ull << BPF_PROG_TYPE_LIRC_MODE2);
  EXPECT_TRUE(ceiling.refusedHelpers[0] & 1ull << BPF_FUNC_probe_write_user);
  allowProgramTypes(ceiling, {"xdp"});
  EXPECT_FALSE(ceiling.attachTypes[0] & 1ull << BPF_TRACE_RAW_TP);
  EXPECT_TRUE(ceiling.attachTypes[0] & 1ull << BPF_TRACE_ITER) << "the overview's own iterators";
}

TEST(Patience, DoublesToFiveSecondsAndForgetsAfterALongLife) {
  Patience patience{2};
  patience.died(1ms, false);
  patience.died(1ms, false);
  EXPECT_EQ(patience.left(), 0ms);
  patience.died(1ms, false);
  EXPECT_NEAR(patience.left().count(), 50, 5);
  for (int i = 0; i < 40; ++i) patience.died(1ms, false);
  EXPECT_NEAR(patience.left().count(), 5000, 5);
  patience.died(11s, false);
  EXPECT_EQ(patience.left(), 0ms);
}

}  // namespace
}  // namespace bpfman
