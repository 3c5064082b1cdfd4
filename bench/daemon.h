// A bpfmand of the bench's own, in a directory of its own: started, weighed, stopped.
#pragma once

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace bpfman::bench {

class Daemon {
 public:
  Daemon(const std::string& binary, const std::string& directory, const std::string& config = "");  // returns when it serves
  ~Daemon();  // stopped, its bpffs unmounted: everything it loaded is gone
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string runtimeDir() const { return directory + "/run"; }
  std::vector<std::pair<std::string, double>> memory() const;  // of each of its processes: name, KiB (proportional)

 private:
  std::string directory;
  pid_t pid = -1;
};

}  // namespace bpfman::bench
