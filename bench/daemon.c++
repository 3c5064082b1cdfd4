#include "bench/daemon.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <kj/io.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

namespace bpfman::bench {

namespace {

constexpr timeval PATIENCE = {30, 0};  // until it says that it is ready

// systemd's protocol: the only word about readiness that needs no reading of logs.
kj::AutoCloseFd listenFor(const std::string& path) {
  int fd;
  KJ_SYSCALL(fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  kj::AutoCloseFd socket(fd);
  sockaddr_un address{AF_UNIX, {}};
  KJ_REQUIRE(path.size() < sizeof address.sun_path, "a shorter directory, please");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  KJ_SYSCALL(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
  KJ_SYSCALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof PATIENCE));
  return socket;
}

std::string nameOf(pid_t pid) {
  std::string name;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), name);
  return name;
}

double proportional(pid_t pid) {
  std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(rollup, line);)
    if (line.starts_with("Pss:")) return std::stod(line.substr(4));
  return 0;
}

void collect(pid_t pid, std::set<pid_t>& into) {
  into.insert(pid);
  std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child; children >> child;) collect(child, into);
}

}  // namespace

Daemon::Daemon(const std::string& binary, const std::string& directory, const std::string& config) : directory(directory) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory + "/bpfman.toml") << config;
  auto notify = directory + "/notify";
  auto log = directory + "/log";
  auto ready = listenFor(notify);
  KJ_SYSCALL(pid = fork());
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    setenv("NOTIFY_SOCKET", notify.c_str(), 1);
    auto state = directory + "/state", policy = directory + "/policy.toml", config = directory + "/bpfman.toml";
    execl(binary.c_str(), binary.c_str(), "--runtime-dir", runtimeDir().c_str(), "--state-dir", state.c_str(), "--policy", policy.c_str(),
          "--config", config.c_str(), nullptr);
    _exit(127);
  }
  char word[64];
  KJ_REQUIRE(recv(ready.get(), word, sizeof word, 0) > 0, "bpfmand did not become ready; see", log.c_str());
}

Daemon::~Daemon() {
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  umount2((runtimeDir() + "/fs").c_str(), MNT_DETACH);
}

std::vector<std::pair<std::string, double>> Daemon::memory() const {
  std::set<pid_t> pids;
  collect(pid, pids);
  std::vector<std::pair<std::string, double>> all;
  for (pid_t each : pids) all.emplace_back(nameOf(each), proportional(each));
  return all;
}

}  // namespace bpfman::bench
