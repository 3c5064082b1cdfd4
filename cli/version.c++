// bpfman version: of this binary and, if it runs, of the daemon. Works without one.
#include "cli/commands.h"

#include <capnp/common.h>

#include <sys/utsname.h>

#include <iostream>

namespace bpfman {
namespace {

int version(Session& session) {
  utsname machine = {};
  uname(&machine);
  std::cout << "Version:     " << BPFMAN_VERSION << "\nPlatform:    " << machine.sysname << "/" << machine.machine
            << "\nCap'n Proto: " << CAPNP_VERSION_MAJOR << "." << CAPNP_VERSION_MINOR << "." << CAPNP_VERSION_MICRO << "\n";
  try {
    auto answer = session.wait(session.connection().daemon().versionRequest().send());
    std::cout << "Daemon:      " << answer.getVersion().cStr() << " (protocol " << answer.getProtocol()
              << ")\nXDP engine:  " << answer.getEngine().cStr();
    if (answer.getEngineReason().size()) std::cout << " (" << answer.getEngineReason().cStr() << ")";
    if (answer.getTcEngine().size())  // an older daemon says nothing
      std::cout << "\nTC engine:   " << answer.getTcEngine().cStr() << " (" << answer.getTcEngineReason().cStr() << ")";
    std::cout << "\n";
  } catch (const kj::Exception& exception) { std::cout << "Daemon:      " << whatWentWrong(exception).cStr() << "\n"; }
  return 0;
}

}  // namespace

void addVersion(CLI::App& parent, Command& chosen) {
  parent.add_subcommand("version", "Versions of this command and of the daemon")->callback([&chosen] { chosen = version; });
}

void addUnsupported(CLI::App& parent, const char* name, const char* instead, Command& chosen) {
  auto& app = *parent.add_subcommand(name, "Not in this version")->group("")->allow_extras();
  auto text = parent.get_parent() ? parent.get_name() + " " + name : std::string(name);
  app.callback([text, instead, &chosen] {
    chosen = [text, instead](Session&) -> int { fail(kj::str("'", text.c_str(), "' is not supported by this version: ", instead)); };
  });
}

}  // namespace bpfman
