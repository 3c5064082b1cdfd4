#include "broker/options.h"

#include <CLI/CLI.hpp>
#include <kj/debug.h>
#include <kj/vector.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace bpfman {

namespace {

// One row for each path on the command line. The last one is for tests, and for unusual installations.
constexpr struct {
  const char* flag;
  kj::String Options::*field;
  const char* help;
} PATHS[] = {
    {"--runtime-dir", &Options::runtimeDir, "socket, pins and lock [/run/bpfman]"},
    {"--state-dir", &Options::stateDir, "the catalogue [/var/lib/bpfman]"},
    {"--policy", &Options::policyPath, "who may do what [/etc/bpfman/policy.toml]"},
    {"--config", &Options::configPath, "this daemon's configuration [/etc/bpfman/bpfman.toml]"},
    {"--socket-path", &Options::socketPath, "where clients connect [RUNTIME_DIR/bpfman.sock]"},
    {"--libexec-dir", &Options::childrenDir, "where the other binaries are [beside bpfmand]"},
};

// One row for each number that the configuration may set.
struct Number {
  const char *section, *key;
  uint64_t least, most;
  uint32_t& (*field)(Options&);
};

constexpr Number NUMBERS[] = {
    {"users", "base_uid", 1000, 2147483640, [](Options& o) -> uint32_t& { return o.baseUid; }},
    {"limits", "pool_size", 1, 8, [](Options& o) -> uint32_t& { return o.frontend.poolSize; }},
    {"limits", "max_connections", 1, 4096, [](Options& o) -> uint32_t& { return o.frontend.maxConnections; }},
    {"limits", "max_calls", 1, 4096, [](Options& o) -> uint32_t& { return o.frontend.maxCalls; }},
    {"limits", "verifier_seconds", 1, 3600, [](Options& o) -> uint32_t& { return o.frontend.verifierSeconds; }},
    {"ceiling", "max_maps", 1, wire::MAX_MAPS, [](Options& o) -> uint32_t& { return o.ceiling.maxMaps; }},
    {"ceiling", "max_programs", 1, wire::MAX_PROGRAMS, [](Options& o) -> uint32_t& { return o.ceiling.maxPrograms; }},
    {"ceiling", "max_sessions", 1, 1024, [](Options& o) -> uint32_t& { return o.ceiling.maxSessions; }},
};

uint64_t numberFrom(kj::StringPtr key, const toml::node& value, uint64_t least, uint64_t most) {
  int64_t number = value.is_integer() ? value.as_integer()->get() : -1;
  if (number < 0 || uint64_t(number) < least || uint64_t(number) > most)
    KJ_FAIL_REQUIRE(kj::str(key, " is a number from ", least, " to ", most));
  return number;
}

kj::Vector<kj::String> wordsFrom(kj::StringPtr key, const toml::node& value) {
  if (!value.is_array()) KJ_FAIL_REQUIRE(kj::str(key, " is a list of names"));
  kj::Vector<kj::String> words;
  for (const toml::node& each : *value.as_array()) {
    if (each.is_string())
      words.add(kj::str(each.as_string()->get().c_str()));
    else if (each.is_integer())
      words.add(kj::str(each.as_integer()->get()));
    else
      KJ_FAIL_REQUIRE(kj::str(key, " is a list of names"));
  }
  return words;
}

void setOne(Options& options, kj::StringPtr section, kj::StringPtr key, const toml::node& value) {
  for (const Number& row : NUMBERS)
    if (section == row.section && key == row.key) return void(row.field(options) = numberFrom(key, value, row.least, row.most));
  if (section == "ceiling" && key == "max_map_bytes") {
    options.ceiling.maxMapBytes = numberFrom(key, value, 4096, 1ull << 50);
  } else if (section == "users" && key == "socket_group") {
    if (!value.is_string()) KJ_FAIL_REQUIRE("socket_group is the name of a group");
    options.socketGroup = kj::str(value.as_string()->get().c_str());
  } else if (section == "ceiling" && (key == "program_types" || key == "refused_helpers")) {
    auto words = wordsFrom(key, value);
    auto names = KJ_MAP(word, words)->kj::StringPtr { return word; };
    (key == "program_types" ? allowProgramTypes : refuseHelpers)(options.ceiling, names);
  } else {
    KJ_FAIL_REQUIRE(kj::str("unknown key ", section, ".", key));
  }
}

void readConfiguration(Options& options) {
  kj::String where = kj::str(options.configPath);
  auto at = [&](const toml::source_region& source) { return kj::str(options.configPath, ", line ", source.begin.line, ": "); };
  if (access(options.configPath.cStr(), F_OK) != 0 && errno == ENOENT) return;
  try {
    toml::table file = toml::parse_file(options.configPath.cStr());
    for (auto&& [section, keys] : file) {
      where = at(keys.source());
      bool known = section.str() == "users" || section.str() == "limits" || section.str() == "ceiling";
      if (!known || !keys.is_table()) KJ_FAIL_REQUIRE(kj::str("unknown key ", std::string(section.str()).c_str()));
      for (auto&& [key, value] : *keys.as_table()) {
        where = at(value.source());
        setOne(options, std::string(section.str()).c_str(), std::string(key.str()).c_str(), value);
      }
    }
  } catch (const toml::parse_error& error) {
    KJ_FAIL_REQUIRE(kj::str(at(error.source()), std::string(error.description()).c_str()));
  } catch (const kj::Exception& error) { KJ_FAIL_REQUIRE(kj::str(where, error.getDescription())); }
}

kj::String absolute(const char* path) {
  if (!*path) KJ_FAIL_REQUIRE("an empty path");
  char directory[PATH_MAX];
  if (*path == '/' || !getcwd(directory, sizeof directory)) return kj::str(path);
  return kj::str(static_cast<const char*>(directory), '/', path);
}

}  // namespace

Options Options::parse(int argc, char* argv[]) {
  Options options;
  options.ceiling = defaultCeiling();
  CLI::App app("The bpfman daemon: loads, attaches and shows eBPF programs for others.", "bpfmand");
  app.set_version_flag("-V,--version", "bpfmand " BPFMAN_VERSION);
  for (auto& row : PATHS) {
    auto take = [&options, field = row.field](const std::string& path) { options.*field = absolute(path.c_str()); };
    app.add_option_function<std::string>(row.flag, take, row.help);
  }
  bool csi;
  std::string images;
  app.add_flag("--csi-support", csi, "accepted; the Kubernetes agent has the CSI driver");
  app.add_option("--image-cache-dir", images, "accepted; images are not kept by this daemon");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) { exit(app.exit(end) != 0); }
  if (options.socketPath.size() == 0) options.socketPath = kj::str(options.runtimeDir, "/bpfman.sock");
  readConfiguration(options);
  return options;
}

}  // namespace bpfman
