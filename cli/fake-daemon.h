// For tests: bpfmand's RPC with canned answers, over a real socket in a temporary directory, in a thread of its own. Every call that
// asks for something is kept as one line of text.
#pragma once

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <kj/io.h>

namespace bpfman {

class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon() noexcept;  // of gtest's fixtures

  struct Calls {
    std::mutex mutex;  // not kj's, which the thread sanitizer doesn't see
    std::vector<std::string> said;
  };

  const std::string& runtimeDir() const { return directory; }
  std::vector<std::string> takeCalls();  // since the last time

  struct Outcome {
    int code;
    std::string out, err;
  };
  Outcome bpfman(const std::string& arguments) const;  // runs the real command, as a shell would

 private:
  std::string directory;
  Calls calls;
  kj::AutoCloseFd stop;  // closing it ends the thread
  std::thread thread;
};

}  // namespace bpfman
