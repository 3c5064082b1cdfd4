// One call of the command: what all sub-commands are given, and the connection, made when it is first needed.
#pragma once

#include "client/client.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace bpfman {

struct Globals {
  std::string runtimeDir = DEFAULT_RUNTIME_DIR;
  std::string lockTimeout = "30s";         // how long the daemon may take to answer at all
  std::string config, log, imageCacheDir;  // accepted for scripts written for upstream; the daemon decides these
};

class Session {
 public:
  explicit Session(const Globals& globals) : globals(globals) {}

  Connection& connection();

  template <typename Promise>
  auto wait(Promise&& promise) {
    return promise.wait(io().waitScope);
  }

 private:
  kj::AsyncIoContext& io();

  const Globals& globals;
  kj::Maybe<kj::AsyncIoContext> loop;
  kj::Maybe<kj::Own<Connection>> made;
};

// What the arguments ask for; returns the exit code.
using Command = std::function<int(Session&)>;

// Does `one` for each id and goes on after a failure, which is printed as "NOUN ID: TEXT". An error at the end counts the failures.
// `ignoreMissing`: an id that does not exist (any more) is no failure.
int forEach(const std::vector<uint32_t>& ids, const char* noun, const char* verb, bool ignoreMissing,
            const std::function<void(uint32_t)>& one);

void addOutput(CLI::App& app, std::string& output);  // -o text|json
CLI::Option* addRepeated(CLI::App& app, const char* names, std::vector<std::string>& values, const char* description);

}  // namespace bpfman
