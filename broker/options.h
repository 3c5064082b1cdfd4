// What bpfmand was asked to be: argv, and root's own configuration file. Trusted input, read before anything else runs.
#pragma once

#include <kj/string.h>

#include <string>
#include <vector>

#include "schema/broker.h"
#include "schema/ceiling.h"

namespace bpfman {

wire::Ceiling defaultCeiling();
void allowProgramTypes(wire::Ceiling& ceiling, const std::vector<std::string>& names);  // instead of the default ones
void refuseHelpers(wire::Ceiling& ceiling, const std::vector<std::string>& names);      // likewise

struct Options {
  kj::String runtimeDir = kj::str("/run/bpfman"), stateDir = kj::str("/var/lib/bpfman");
  kj::String policyPath = kj::str("/etc/bpfman/policy.toml"), configPath = kj::str("/etc/bpfman/bpfman.toml");
  // By default: runtimeDir/bpfman.sock; the other binaries are beside bpfmand; the group "bpfman", if there is one.
  kj::String socketPath, childrenDir, socketGroup;
  uint32_t baseUid = 2147420000;  // frontend; +1 worker, +2 loader, +3 delegator: where there are no users of these names
  wire::FrontendOptions frontend{{}, {}, {}, wire::WantedEngine::automatic, wire::WantedEngine::automatic, 2, 32, 64, 30, 0, 0, {}, {}};
  wire::Ceiling ceiling = defaultCeiling();

  static Options parse(int argc, char* argv[]);  // --help and --version end the process here
};

}  // namespace bpfman
