// What the compiled filters really do, over every system call and many arguments, against a table that was reviewed (reviewed.txt; with
// BPFMAN_REWRITE=1 it is written anew, so that a change of a policy shows as a difference). And what policies may never say.
#include "seccomp/policy.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "seccomp/evaluate.h"

namespace bpfman::seccomp {
namespace {

constexpr int CALLS = 600, BPF_COMMANDS = 46;
constexpr uint32_t X32 = 0x40000000;

struct Named {
  const char* name;
  const Policy& policy;
};
const Named POLICIES[] = {{"broker", BROKER_POLICY},   {"frontend", FRONTEND_POLICY},  {"worker", WORKER_POLICY},
                          {"session", SESSION_POLICY}, {"waiting", WAITING_POLICY},    {"loader", LOADER_POLICY},
                          {"runner", RUNNER_POLICY},   {"delegator", DELEGATOR_POLICY}};

std::string pathOf(const char* name) { return std::string(SOURCE_DIR) + "/" + name + ".policy"; }

seccomp_data callOf(int number, uint32_t architecture = AUDIT_ARCH_X86_64) {
  seccomp_data call{};
  call.nr = number;
  call.arch = architecture;
  return call;
}

bool allows(const Policy& policy, const seccomp_data& call) { return evaluate(policy, call) == SECCOMP_RET_ALLOW; }

std::string nameOf(int number) {
  char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
  std::string result = name ? name : std::to_string(number);
  free(name);
  return result;
}

std::string verdict(uint32_t action) {
  if (action == SECCOMP_RET_ALLOW) return "allowed";
  if (action == SECCOMP_RET_KILL_PROCESS) return "killed";
  if ((action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO) return "errno " + std::to_string(action & SECCOMP_RET_DATA);
  return "action " + std::to_string(action);
}

// Small numbers, single bits, and everything that a policy names.
const std::set<uint64_t>& interestingValues() {
  static const std::set<uint64_t> values = [] {
    std::set<uint64_t> all{~0ull, 0xffffffff};
    for (uint64_t i = 0; i < 64; ++i) all.insert(i), all.insert(1ull << i);
    for (auto& [name, value] : constants()) all.insert(value), all.insert(value | 1ull << 32);
    for (auto& each : POLICIES)
      for (auto& rule : readPolicy(pathOf(each.name)))
        for (auto& condition : rule.conditions) all.insert(condition.values.begin(), condition.values.end());
    return all;
  }();
  return values;
}

// Everything that a policy does, as far as one argument at a time, and the rules' own combinations, show it.
std::string describe(const Named& each) {
  std::ostringstream text;
  text << "== " << each.name << "\n";
  for (int number = 0; number <= CALLS; ++number) {
    uint32_t plain = evaluate(each.policy, callOf(number));
    std::ostringstream different;
    for (int argument = 0; argument < 6; ++argument) {
      std::ostringstream same, other;  // the shorter of the two is what a reviewer reads
      size_t count = 0;
      for (uint64_t value : interestingValues()) {
        seccomp_data call = callOf(number);
        call.args[argument] = value;
        bool differs = evaluate(each.policy, call) != plain;
        (differs ? other : same) << " 0x" << std::hex << value;
        count += differs;
      }
      if (count > interestingValues().size() / 2)
        different << "\n    only with arg" << argument << ":" << same.str();
      else if (count > 0)
        different << "\n    unless arg" << argument << ":" << other.str();
    }
    if (plain != SECCOMP_RET_KILL_PROCESS || !different.str().empty())
      text << nameOf(number) << " " << verdict(plain) << different.str() << "\n";
  }
  return text.str();
}

TEST(Policies, DoWhatWasReviewed) {
  std::string now, path = std::string(SOURCE_DIR) + "/reviewed.txt";
  for (auto& each : POLICIES) now += describe(each);
  if (getenv("BPFMAN_REWRITE")) std::ofstream(path) << now;
  std::ifstream file(path);
  std::istringstream lines(now);
  int number = 1;
  for (std::string expected, actual; bool(std::getline(file, expected)) | bool(std::getline(lines, actual));
       ++number, expected.clear(), actual.clear())
    ASSERT_EQ(expected, actual) << "reviewed.txt, line " << number
                                << ": if this change is meant, BPFMAN_REWRITE=1 and review the difference";
}

TEST(Policies, KillTheOtherTwoEntries) {
  for (auto& each : POLICIES)
    for (int number = 0; number <= CALLS; ++number) {
      ASSERT_EQ(evaluate(each.policy, callOf(number, AUDIT_ARCH_I386)), SECCOMP_RET_KILL_PROCESS) << each.name << " i386 " << number;
      ASSERT_EQ(evaluate(each.policy, callOf(number | X32)), SECCOMP_RET_KILL_PROCESS) << each.name << " x32 " << number;
    }
  for (auto& each : POLICIES) EXPECT_EQ(evaluate(each.policy, callOf(-1)), SECCOMP_RET_KILL_PROCESS);
}

TEST(Policies, BpfCommands) {
  const std::set<uint64_t> session{BPF_MAP_CREATE,    BPF_PROG_LOAD,          BPF_BTF_LOAD, BPF_MAP_UPDATE_ELEM, BPF_MAP_FREEZE,
                                   BPF_PROG_BIND_MAP, BPF_OBJ_GET_INFO_BY_FD, BPF_OBJ_PIN,  BPF_OBJ_GET};
  std::set<uint64_t> worker = session;
  for (auto command : {BPF_MAP_LOOKUP_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY, BPF_LINK_CREATE, BPF_LINK_UPDATE,
                       BPF_RAW_TRACEPOINT_OPEN, BPF_ITER_CREATE, BPF_PROG_QUERY})
    worker.insert(command);
  std::set<uint64_t> broker = worker;  // its children's
  broker.insert({BPF_PROG_GET_FD_BY_ID, BPF_BTF_GET_NEXT_ID, BPF_BTF_GET_FD_BY_ID, BPF_PROG_TEST_RUN});
  const std::set<uint64_t> runner{BPF_PROG_TEST_RUN};
  std::map<std::string, std::set<uint64_t>> expected{
      {"session", session}, {"worker", worker}, {"broker", broker}, {"waiting", runner}, {"runner", runner}};
  for (auto& each : POLICIES)
    for (uint64_t command = 0; command < BPF_COMMANDS; ++command) {
      seccomp_data call = callOf(SYS_bpf);
      call.args[0] = command;
      EXPECT_EQ(allows(each.policy, call), expected[each.name].contains(command)) << each.name << " bpf command " << command;
      call.args[0] |= 1ull << 32;
      EXPECT_FALSE(allows(each.policy, call)) << "the upper half counts";
    }
}

// A filter is inherited: what the broker's forbids, no child can do.
TEST(Policies, BrokerCoversItsChildrenAndTheWorkerItsSessions) {
  auto covers = [](const Policy& outer, const Named& inner) {
    for (auto& rule : readPolicy(pathOf(inner.name))) {
      if (rule.error) continue;
      seccomp_data call = callOf(seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, rule.call.c_str()));
      size_t most = 1;
      for (auto& condition : rule.conditions) most = std::max(most, condition.values.size());
      for (size_t i = 0; i < most; ++i) {
        for (auto& condition : rule.conditions) call.args[condition.argument] = condition.values[i % condition.values.size()];
        EXPECT_TRUE(allows(inner.policy, call)) << inner.name << " " << rule.where;
        EXPECT_TRUE(allows(outer, call)) << inner.name << " needs " << rule.where;
      }
    }
  };
  for (auto& each : POLICIES) covers(BROKER_POLICY, each);
  covers(WORKER_POLICY, POLICIES[3]);
}

TEST(Policies, NobodyMay) {
  const char* never[] = {"ptrace",
                         "process_vm_readv",
                         "process_vm_writev",
                         "pidfd_getfd",
                         "init_module",
                         "finit_module",
                         "delete_module",
                         "kexec_load",
                         "kexec_file_load",
                         "io_uring_setup",
                         "io_uring_enter",
                         "userfaultfd",
                         "keyctl",
                         "add_key",
                         "request_key",
                         "open_by_handle_at",
                         "personality",
                         "modify_ldt",
                         "iopl",
                         "ioperm",
                         "reboot",
                         "swapon",
                         "chroot",
                         "fsopen",
                         "execve",
                         "vfork",
                         "fork",
                         "setuid",
                         "setgid",
                         "setfsuid",
                         "quotactl",
                         "acct",
                         "settimeofday",
                         "bind",
                         "listen"};
  for (auto& each : POLICIES)
    for (auto& rule : readPolicy(pathOf(each.name)))
      for (const char* call : never) EXPECT_TRUE(rule.call != call || rule.error) << rule.where;
  for (auto& each : POLICIES)  // the broker: libxdp's directory in a worker's root
    for (auto& rule : readPolicy(pathOf(each.name)))
      EXPECT_TRUE(each.name == std::string("broker") || (rule.call != "open_tree" && rule.call != "move_mount")) << rule.where;
  for (auto& rule : readPolicy(pathOf("frontend")))
    EXPECT_TRUE(rule.call != "bpf" && rule.call != "kill" && rule.call != "execveat") << rule.where;
  for (auto& rule : readPolicy(pathOf("loader")))
    EXPECT_TRUE(rule.error || (rule.call != "bpf" && rule.call != "openat" && rule.call != "socket" && rule.call != "clone")) << rule.where;
}

TEST(Policies, DangerousCallsSayWhoNeedsThem) {
  const std::set<std::string> dangerous{
      "bpf",    "mount",      "umount2",  "pivot_root", "clone",     "clone3",   "unshare",         "setns",
      "socket", "socketpair", "connect",  "execveat",   "mmap",      "mprotect", "openat",          "open",
      "kill",   "tgkill",     "prctl",    "seccomp",    "capset",    "ioctl",    "perf_event_open", "memfd_create",
      "fcntl",  "arch_prctl", "fchmodat", "link",       "pidfd_open"};
  for (auto& each : POLICIES)
    for (auto& rule : readPolicy(pathOf(each.name)))
      EXPECT_TRUE(!dangerous.contains(rule.call) || !rule.comment.empty())
          << rule.where << ": " << rule.call << " needs a comment: who needs it?";
}

TEST(PolicyText, RefusesWhatItDoesNotUnderstand) {
  const std::pair<const char*, const char*> wrong[] = {
      {"read: arg0 > 3", "not a condition"},          {"read: arg7 == 3", "not a condition"},
      {"read: arg0 == NONSENSE", "unknown constant"}, {"Read", "not a system call"},
      {"read: arg0 & 3 == 4", "is never true"},       {"read: return NONSENSE", "unknown constant"},
      {"include no.policy", "can't be opened"},       {"read: arg0 == 1 or arg1 == 2", "not a condition"}};
  for (auto [text, reason] : wrong) {
    std::string path = testing::TempDir() + "wrong.policy";
    std::ofstream(path) << "# comment\n" << text << "\n";
    try {
      readPolicy(path);
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& error) { EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what(); }
  }
}

}  // namespace
}  // namespace bpfman::seccomp
