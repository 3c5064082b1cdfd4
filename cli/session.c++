#include "cli/session.h"

#include <iostream>

namespace bpfman {
namespace {

// A daemon that is being restarted is waited for this long.
constexpr auto PATIENCE = 2 * kj::SECONDS;

}  // namespace

kj::AsyncIoContext& Session::io() {
  KJ_IF_MAYBE (there, loop) return *there;
  return loop.emplace(kj::setupAsyncIo());
}

Connection& Session::connection() {
  KJ_IF_MAYBE (there, made) return **there;
  return *made.emplace(wait(connectWithin(io(), globals.runtimeDir.c_str(), PATIENCE)));
}

int forEach(const std::vector<uint32_t>& ids, const char* noun, const char* verb, bool ignoreMissing,
            const std::function<void(uint32_t)>& one) {
  size_t failed = 0;
  for (auto id : ids) {
    try {
      one(id);
    } catch (const kj::Exception& exception) {
      if (ignoreMissing && saysAbsent(exception)) continue;
      failed++;
      std::cerr << noun << " " << id << ": " << whatWentWrong(exception).cStr() << "\n";
    }
  }
  if (failed > 0) fail(kj::str(failed, " of ", ids.size(), " ", noun, "(s) failed to ", verb));
  return 0;
}

void addOutput(CLI::App& app, std::string& output) {
  app.add_option("-o,--output", output, "Format: text (default) or json")->check(CLI::IsMember({"text", "json"}));
}

CLI::Option* addRepeated(CLI::App& app, const char* names, std::vector<std::string>& values, const char* description) {
  return app.add_option(names, values, description)->allow_extra_args(false);
}

}  // namespace bpfman
