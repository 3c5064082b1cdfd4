// The filters in the kernel: each row is one real call in a process of its own, under one policy.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "seccomp/confine.h"
#include "tests/cannot-run.h"

namespace bpfman::seccomp {
namespace {

constexpr int KILLED = -1;
constexpr unsigned long UPPER = 1ul << 32;

// Exit status (an errno), or KILLED: by SIGSYS, and nothing else.
int attempt(const Policy& policy, const char* entry, unsigned long number, std::vector<unsigned long> arguments = {}) {
  int pipe[2];
  if (::pipe(pipe) != 0) abort();
  std::vector<std::string> words{TRY_SYSCALL, entry, std::to_string(number)};
  for (unsigned long each : arguments) words.push_back(std::to_string(each));
  pid_t child = fork();
  if (child == 0) {
    dup2(pipe[0], 0);
    close(pipe[0]);
    close(pipe[1]);
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(TRY_SYSCALL, argv.data());
    _exit(202);
  }
  close(pipe[0]);
  (void)!write(pipe[1], policy.filter, policy.length * sizeof(sock_filter));
  close(pipe[1]);
  siginfo_t how;
  waitid(P_PID, child, &how, WEXITED);
  if ((how.si_code == CLD_KILLED || how.si_code == CLD_DUMPED) && how.si_status == SIGSYS) return KILLED;
  return how.si_code == CLD_EXITED ? how.si_status : 1000 + how.si_status;
}

// The same for a call that must kill: noted down for attack_count.py.
int attacked(const Policy& policy, const char* entry, unsigned long number, std::vector<unsigned long> arguments = {},
             const char* kind = "system call") {
  static std::ofstream noted = [] {
    std::filesystem::create_directories(ATTACKS);
    return std::ofstream(ATTACKS "/seccomp-sandbox-test");
  }();
  int how = attempt(policy, entry, number, arguments);
  noted << kind << "\t" << (how == KILLED ? "True" : "False") << "\tentry " << entry << ", call " << number << std::endl;
  return how;
}

const Policy* const ALL[] = {&BROKER_POLICY,  &FRONTEND_POLICY, &WORKER_POLICY, &SESSION_POLICY,
                             &WAITING_POLICY, &LOADER_POLICY,   &RUNNER_POLICY, &DELEGATOR_POLICY};

// BrokerOp::openXdpProgram and openModule; a loader whose job is to run a program, and what came before it.
bool mayCallBpf(const Policy* policy, unsigned long command) {
  if (command == BPF_PROG_TEST_RUN) return policy == &BROKER_POLICY || policy == &WAITING_POLICY || policy == &RUNNER_POLICY;
  return policy == &BROKER_POLICY &&
         (command == BPF_PROG_GET_FD_BY_ID || command == BPF_BTF_GET_FD_BY_ID || command == BPF_BTF_GET_NEXT_ID);
}

TEST(Sandbox, AllowedCallsReachTheKernel) {
  for (auto policy : ALL) EXPECT_EQ(attempt(*policy, "64", SYS_getpid), 0);
  EXPECT_EQ(attempt(SESSION_POLICY, "64", SYS_bpf, {BPF_MAP_CREATE, 0, 0}), EINVAL);
  EXPECT_EQ(attempt(WORKER_POLICY, "64", SYS_bpf, {BPF_LINK_CREATE, 0, 0}), EINVAL);
  EXPECT_EQ(attempt(WORKER_POLICY, "64", SYS_kill, {0x3fffffff, SIGKILL}), ESRCH);
  EXPECT_EQ(attempt(FRONTEND_POLICY, "64", SYS_mmap, {0, 4096, 3, 0x22, ~0ul, 0}), 0);
  EXPECT_EQ(attempt(BROKER_POLICY, "64", SYS_setns, {~0u, CLONE_NEWNET}), EBADF);
}

TEST(Sandbox, OthersKill) {
  for (auto policy : ALL)
    for (long number :
         {SYS_ptrace, SYS_execve, SYS_init_module, SYS_io_uring_setup, SYS_keyctl, SYS_personality, SYS_process_vm_readv, SYS_fork})
      EXPECT_EQ(attacked(*policy, "64", number), KILLED) << number;
  for (auto policy :
       {&FRONTEND_POLICY, &WORKER_POLICY, &SESSION_POLICY, &WAITING_POLICY, &LOADER_POLICY, &RUNNER_POLICY, &DELEGATOR_POLICY})
    for (long number : {SYS_socket, SYS_mount, SYS_setns, SYS_unshare, SYS_execveat, SYS_setresuid, SYS_perf_event_open})
      EXPECT_EQ(attacked(*policy, "64", number), KILLED) << number;
  for (auto policy : {&FRONTEND_POLICY, &LOADER_POLICY, &DELEGATOR_POLICY}) EXPECT_EQ(attacked(*policy, "64", SYS_bpf), KILLED);
  EXPECT_EQ(attacked(BROKER_POLICY, "64", SYS_mount, {1, 0, 0, 0}), KILLED) << "only a change of propagation";
  EXPECT_EQ(attacked(BROKER_POLICY, "64", SYS_unshare, {CLONE_NEWUSER}), KILLED);
}

TEST(Sandbox, BpfIsFilteredByCommand) {
  for (auto policy : ALL)
    for (unsigned long command : {BPF_PROG_TEST_RUN, BPF_MAP_GET_FD_BY_ID, BPF_PROG_GET_FD_BY_ID, BPF_PROG_ATTACH, BPF_TASK_FD_QUERY})
      EXPECT_TRUE(mayCallBpf(policy, command) || attacked(*policy, "64", SYS_bpf, {command, 0, 0}) == KILLED) << command;
  for (unsigned long command = 0; command < 64; ++command)
    for (auto policy : {&FRONTEND_POLICY, &WAITING_POLICY, &LOADER_POLICY, &RUNNER_POLICY})
      EXPECT_TRUE(mayCallBpf(policy, command) || attacked(*policy, "64", SYS_bpf, {command, 0, 0}) == KILLED)
          << "a taken-over loader or frontend, command " << command;
  for (unsigned long command : {BPF_LINK_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_ITER_CREATE})
    EXPECT_EQ(attacked(SESSION_POLICY, "64", SYS_bpf, {command, 0, 0}), KILLED) << command;
  EXPECT_EQ(attacked(WORKER_POLICY, "64", SYS_bpf, {BPF_LINK_CREATE | UPPER, 0, 0}), KILLED) << "upper half of the argument";
}

// A program of type syscall calls bpf() in the kernel, where no filter sees it. It is run where nothing else is done, by nobody.
TEST(Sandbox, NoPrivilegedProcessRunsAProgramThatCallsBpfInTheKernel) {
  bpf_insn instructions[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 7}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_SYSCALL;
  attr.prog_flags = BPF_F_SLEEPABLE;
  attr.insns = reinterpret_cast<uint64_t>(instructions);
  attr.insn_cnt = 2;
  attr.license = reinterpret_cast<uint64_t>("GPL");
  int program = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  if (program < 0) CANNOT_RUN(std::string("can't load one: ") + strerror(errno));
  attr = {};
  attr.test.prog_fd = program;
  ASSERT_EQ(syscall(SYS_bpf, BPF_PROG_RUN, &attr, sizeof attr), 0) << strerror(errno);
  EXPECT_EQ(attr.test.retval, 7u) << "outside of any filter it runs";
  for (auto policy : ALL)  // the descriptor is inherited; the command kills before anything of its attribute is looked at
    EXPECT_TRUE(mayCallBpf(policy, BPF_PROG_RUN) || attacked(*policy, "64", SYS_bpf, {BPF_PROG_RUN, 0, 0}, "bpf in the kernel") == KILLED);
  close(program);
}

TEST(Sandbox, NothingBecomesExecutable) {
  for (auto policy :
       {&FRONTEND_POLICY, &WORKER_POLICY, &SESSION_POLICY, &WAITING_POLICY, &LOADER_POLICY, &RUNNER_POLICY, &DELEGATOR_POLICY}) {
    EXPECT_EQ(attacked(*policy, "64", SYS_mmap, {0, 4096, 5, 0x22, ~0ul, 0}), KILLED);
    EXPECT_EQ(attacked(*policy, "64", SYS_mprotect, {0, 0, 4}), KILLED);
  }
  EXPECT_EQ(attacked(BROKER_POLICY, "64", SYS_mmap, {0, 4096, 7, 0x22, ~0ul, 0}), KILLED) << "writable and executable";
}

TEST(Sandbox, NewProcessesOnlyByForkAndPolitelyNotByClone3) {
  EXPECT_EQ(attempt(WORKER_POLICY, "64", SYS_clone3, {0, 0}), ENOSYS);
  EXPECT_EQ(attempt(FRONTEND_POLICY, "64", SYS_clone3, {0, 0}), ENOSYS);
  EXPECT_EQ(attacked(WORKER_POLICY, "64", SYS_clone, {CLONE_NEWUSER | SIGCHLD}), KILLED);
  EXPECT_EQ(attacked(WORKER_POLICY, "64", SYS_clone, {CLONE_VM | SIGCHLD}), KILLED);
  EXPECT_EQ(attacked(SESSION_POLICY, "64", SYS_clone, {CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD}), KILLED);
  EXPECT_EQ(attacked(WORKER_POLICY, "64", SYS_kill, {0x3fffffff, SIGTERM}), KILLED);
}

TEST(Sandbox, TheOtherEntriesKill) {
  for (auto policy : ALL) {
    EXPECT_EQ(attacked(*policy, "x32", SYS_getpid), KILLED);
    EXPECT_EQ(attacked(*policy, "80", 20), KILLED) << "getpid of i386";
    EXPECT_EQ(attacked(*policy, "80", SYS_getpid), KILLED);
  }
}

}  // namespace
}  // namespace bpfman::seccomp
