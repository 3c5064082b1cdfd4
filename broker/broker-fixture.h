// The real bpfmand with stand-ins for its children, in a mount namespace of this test's own: whatever happens, nothing stays mounted.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include <linux/bpf.h>

#include "broker/supervise.h"
#include "tests/cannot-run.h"

namespace bpfman {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr uid_t BASE = 2147420000;
constexpr const char* HELLO = "ready, socket";

class Broker : public testing::Test {
 protected:
  std::string directory;
  pid_t pid = 0;
  int errors = -1;
  std::string said;

  void SetUp() override {
    if (geteuid() != 0) CANNOT_RUN("needs root");
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    char name[] = "/tmp/bpfman-broker-XXXXXX";
    directory = mkdtemp(name);
    chmod(directory.c_str(), 0755);
    fs::create_directory(directory + "/libexec");
    for (const char* child : {"frontend", "worker", "loader", "delegator"})
      fs::copy_file(TEST_CHILD, directory + "/libexec/bpfman-" + child);
  }

  void TearDown() override {
    if (pid > 0) kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
    if (errors >= 0) close(errors);
    if (directory.empty()) return;
    while (umount2((directory + "/run/fs").c_str(), MNT_DETACH) == 0) {}
    fs::remove_all(directory);
  }

  std::string run() const { return directory + "/run"; }
  void write(const std::string& name, const std::string& text) { std::ofstream(directory + "/" + name) << text; }

  pid_t spawn(int& log, std::function<void()> inChild = nullptr) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) abort();
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(pipe[1], 2);
      if (inChild) inChild();
      std::string runtime = run(), state = directory + "/state", policy = directory + "/policy.toml", config = directory + "/bpfman.toml",
                  libexec = directory + "/libexec";
      execl(BPFMAND, "bpfmand", "--runtime-dir", runtime.c_str(), "--state-dir", state.c_str(), "--policy", policy.c_str(), "--config",
            config.c_str(), "--libexec-dir", libexec.c_str(), nullptr);
      _exit(99);
    }
    close(pipe[1]);
    log = pipe[0];
    return child;
  }

  void start(std::function<void()> inChild = [] {}) {
    if (errors >= 0) close(errors);
    said.clear();
    pid = spawn(errors, inChild);
    ASSERT_TRUE(waitFor(HELLO)) << said;
  }

  // Reads the daemon's standard error until it has `text` so many times.
  bool waitFor(const std::string& text, std::chrono::milliseconds limit = 20s, int times = 1) {
    auto end = Clock::now() + limit;
    for (;;) {
      size_t at = 0;
      int found = 0;
      while ((at = said.find(text, at)) != std::string::npos) ++found, ++at;
      if (found >= times) return true;
      int left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
      pollfd waiting{errors, POLLIN, 0};
      char buffer[4096];
      if (left <= 0 || poll(&waiting, 1, left) <= 0) return false;
      ssize_t size = read(errors, buffer, sizeof buffer);
      if (size <= 0) return false;
      said.append(buffer, size);
    }
  }

  // A daemon that must not start: its exit status, and what it says in `said`.
  int failure() {
    said.clear();
    pid_t child = spawn(errors);
    waitFor("\n");
    int status = -1;
    waitpid(child, &status, 0);
    close(errors);
    errors = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string ask(const std::string& command, int descriptor = -1) {
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{AF_UNIX, {}};
    strcpy(address.sun_path, (run() + "/bpfman.sock").c_str());
    if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return close(client), "no connection";
    iovec part{const_cast<char*>(command.c_str()), command.size() + 1};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
    if (descriptor >= 0) {
      message.msg_control = space;
      message.msg_controllen = sizeof space;
      *CMSG_FIRSTHDR(&message) = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
      memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &descriptor, sizeof descriptor);
    }
    (void)!sendmsg(client, &message, MSG_NOSIGNAL);
    timeval patience{5, 0};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string answer;
    char buffer[4096];
    for (ssize_t size; (size = read(client, buffer, sizeof buffer)) > 0;) answer.append(buffer, size);
    close(client);
    return answer;
  }

  static std::string line(const std::string& text, const std::string& key) {
    std::istringstream lines(text);
    for (std::string each; std::getline(lines, each);)
      if (each.starts_with(key + " ") || each == key) return each;
    return "no " + key + " in: " + text;
  }

  // What a child was started with, from outside: itself it may not even ask.
  struct Seen {
    std::string status, descriptors, environment, limits, root;
    ino_t network = 0;
    std::string operator[](const std::string& key) const {
      size_t at = status.find("\n" + key + ":\t");
      return at == std::string::npos ? "no " + key : status.substr(at + key.size() + 3, status.find('\n', at + 1) - at - key.size() - 3);
    }
  };

  static std::string contents(const std::string& path) {
    std::ostringstream text;  // its << throws nothing when a process ends while its file is read
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  static Seen see(const std::string& report) {
    pid_t child = std::stoi(line(report, "pid").substr(4));
    std::string proc = "/proc/" + std::to_string(child);
    Seen seen{contents(proc + "/status"), {}, contents(proc + "/environ"), contents(proc + "/limits"), {}};
    std::vector<int> numbers;
    for (auto& each : fs::directory_iterator(proc + "/fd")) numbers.push_back(std::stoi(each.path().filename()));
    std::sort(numbers.begin(), numbers.end());
    for (int number : numbers) seen.descriptors += std::to_string(number) + " ";
    for (auto& each : fs::directory_iterator(proc + "/root/")) seen.root += each.path().filename().string() + " ";
    struct stat about;
    if (stat((proc + "/ns/net").c_str(), &about) == 0) seen.network = about.st_ino;
    return seen;
  }

  static std::string ids(uid_t id) {
    return std::to_string(id) + "\t" + std::to_string(id) + "\t" + std::to_string(id) + "\t" + std::to_string(id);
  }

  static std::string hex(uint64_t bits) {
    char text[32];
    snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(bits));
    return text;
  }

  static void expectIdentity(const Seen& child, uid_t id, uint64_t capabilities) {
    EXPECT_EQ(child["Uid"], ids(id));
    EXPECT_EQ(child["Gid"], ids(id));
    EXPECT_EQ(child["Groups"], " ");
    for (const char* set : {"CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"}) EXPECT_EQ(child[set], hex(capabilities)) << set;
    EXPECT_EQ(child["NoNewPrivs"], "1");
    EXPECT_EQ(child["Seccomp"], "2") << "the broker's filter is inherited";
    EXPECT_EQ(child["Umask"], "0077");
    EXPECT_EQ(child["SigBlk"], hex(0));
    EXPECT_EQ(child["SigIgn"], hex(0));
    EXPECT_EQ(child.environment, "");
    EXPECT_NE(child.limits.find("Max core file size        0                    0 "), std::string::npos) << child.limits;
  }

  std::vector<pid_t> childrenOf(pid_t parent) {
    std::ifstream file("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
    std::vector<pid_t> result;
    for (pid_t child; file >> child;) result.push_back(child);
    return result;
  }

  static bool alive(pid_t process) {  // not a zombie either: who adopts our children may be slow to bury them
    std::string status = contents("/proc/" + std::to_string(process) + "/status");
    return !status.empty() && status.find("State:\tZ") == std::string::npos;
  }

  static bool eventually(std::function<bool()> condition, std::chrono::milliseconds limit) {
    for (auto end = Clock::now() + limit; Clock::now() < end; usleep(10000))
      if (condition()) return true;
    return condition();
  }
};

}  // namespace bpfman
