#include "cli/session.h"

#include "cli/values.h"

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
  auto limit = parseDuration(globals.lockTimeout);
  auto connection = wait(connectWithin(io(), globals.runtimeDir.c_str(), PATIENCE));

  // The socket outlives the process that serves it. A daemon that does not come back is noticed by its first answer; later calls may
  // take as long as the verifier does.
  auto first = connection->daemon().versionRequest().send().ignoreResult();
  auto tooLate = io().provider->getTimer().afterDelay(limit).then([&] {
    fail(kj::str("bpfmand accepts connections in ", globals.runtimeDir.c_str(), " but did not answer within ", globals.lockTimeout.c_str(),
                 ": look at its log"),
         kj::Exception::Type::OVERLOADED);
  });
  wait(first.exclusiveJoin(kj::mv(tooLate)));
  return *made.emplace(kj::mv(connection));
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
