#include "broker/options.h"

#include <CLI/CLI.hpp>
#include <kj/debug.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <algorithm>
#include <filesystem>
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace bpfman {

// One row for each path on the command line. The last one is for tests, and for unusual installations.
// Versions of clang-format differ about the member pointer.
// clang-format off
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
// clang-format on

// One row for each number that the configuration may set; as one of some words where it has them: 0, 1 or 2. The least of the ceiling is
// what bpfman's own objects need.
struct Number {
  const char *section, *key;
  uint64_t least, most;
  void (*set)(Options&, uint64_t);
  const char* words[3] = {};
};

constexpr Number NUMBERS[] = {
    {"users", "base_uid", 1000, 2147483640, [](Options& o, uint64_t n) { o.baseUid = n; }},
    {"limits", "pool_size", 1, 8, [](Options& o, uint64_t n) { o.frontend.poolSize = n; }},
    {"limits", "max_connections", 1, 4096, [](Options& o, uint64_t n) { o.frontend.maxConnections = n; }},
    {"limits", "max_calls", 1, 4096, [](Options& o, uint64_t n) { o.frontend.maxCalls = n; }},
    {"limits", "verifier_seconds", 1, 3600, [](Options& o, uint64_t n) { o.frontend.verifierSeconds = n; }},
    {"xdp", "engine", 0, 2, [](Options& o, uint64_t n) { o.frontend.xdpEngine = wire::WantedEngine(n); }, {"auto", "libxdp", "tailcall"}},
    {"tc", "engine", 0, 2, [](Options& o, uint64_t n) { o.frontend.tcEngine = wire::WantedEngine(n); }, {"auto", "freplace", "tailcall"}},
    {"tc", "attach", 0, 1, [](Options& o, uint64_t n) { o.frontend.preferTcx = n; }, {"clsact", "tcx"}},
    {"ordering", "ties", 0, 1, [](Options& o, uint64_t n) { o.frontend.newestFirst = n; }, {"name", "newest"}},
    {"ceiling", "max_map_bytes", 1 << 20, 1ull << 50, [](Options& o, uint64_t n) { o.ceiling.maxMapBytes = n; }},
    {"ceiling", "max_maps", 8, wire::MAX_MAPS, [](Options& o, uint64_t n) { o.ceiling.maxMaps = n; }},
    {"ceiling", "max_programs", 4, wire::MAX_PROGRAMS, [](Options& o, uint64_t n) { o.ceiling.maxPrograms = n; }},
    {"ceiling", "max_sessions", 1, 1024, [](Options& o, uint64_t n) { o.ceiling.maxSessions = n; }},
};

static std::vector<std::string> wordsFrom(kj::StringPtr key, const toml::node& value) {
  const toml::array* list = value.as_array();
  if (!list || !(list->empty() || list->is_homogeneous<std::string>())) KJ_FAIL_REQUIRE(kj::str(key, " is a list of names"));
  std::vector<std::string> words;
  for (const toml::node& each : *list) words.push_back(each.as_string()->get());
  return words;
}

static void addClient(wire::ClientSocket (&clients)[wire::MAX_CLIENTS], kj::StringPtr name, int64_t uid) {
  auto& last = *std::find_if(clients, clients + wire::MAX_CLIENTS - 1, [](auto& client) { return client.name[0] == 0; });
  if (name.size() == 0 || strspn(name.cStr(), "abcdefghijklmnopqrstuvwxyz0123456789-") != name.size() || name.size() >= sizeof last.name ||
      uid < 1 || uid > INT32_MAX || last.name[0] != 0)
    KJ_FAIL_REQUIRE(kj::str("a client is NAME = UID: up to ", wire::MAX_CLIENTS, " names of [a-z0-9-]{1,32}, uids from 1"));
  memcpy(last.name, name.begin(), name.size());
  last.uid = uid;
}

static void setOne(Options& options, kj::StringPtr section, kj::StringPtr key, const toml::node& value) {
  if (section == "clients") return addClient(options.frontend.clients, key, value.value<int64_t>().value_or(0));
  for (auto& row : NUMBERS) {
    if (section != row.section || key != row.key) continue;
    int64_t number = value.value<int64_t>().value_or(-1);
    if (row.words[0]) {
      auto last = row.words + row.most + 1, found = std::find(row.words, last, value.value<std::string>().value_or(""));
      if (found == last) KJ_FAIL_REQUIRE(kj::str(key, " is one of ", kj::strArray(kj::arrayPtr(row.words, last), ", ")));
      number = found - row.words;
    }
    if (number < int64_t(row.least) || number > int64_t(row.most))
      KJ_FAIL_REQUIRE(kj::str(key, " is a number from ", row.least, " to ", row.most));
    return row.set(options, number);
  }
  if (section == "ceiling" && key == "program_types") return allowProgramTypes(options.ceiling, wordsFrom(key, value));
  if (section == "ceiling" && key == "refused_helpers") return refuseHelpers(options.ceiling, wordsFrom(key, value));
  if (section != "users" || key != "socket_group") KJ_FAIL_REQUIRE(kj::str("unknown key ", section, ".", key));
  if (!value.is_string()) KJ_FAIL_REQUIRE("socket_group is the name of a group");
  options.socketGroup = kj::str(value.as_string()->get().c_str());
}

static void readConfiguration(Options& options) {
  kj::String where = kj::str(options.configPath);
  auto at = [&](const toml::source_region& source) { return kj::str(options.configPath, ", line ", source.begin.line, ": "); };
  if (access(options.configPath.cStr(), F_OK) != 0 && errno == ENOENT) return;
  try {
    toml::table file = toml::parse_file(options.configPath.cStr());
    for (auto&& [section, keys] : file) {
      where = at(keys.source());
      std::string name(section.str());
      bool known = name == "clients" || std::ranges::any_of(NUMBERS, [&](auto& row) { return name == row.section; });
      if (!known || !keys.is_table()) KJ_FAIL_REQUIRE(kj::str("unknown key ", name.c_str()));
      for (auto&& [key, value] : *keys.as_table()) {
        where = at(value.source());
        setOne(options, name.c_str(), std::string(key.str()).c_str(), value);
      }
    }
  } catch (const toml::parse_error& error) {
    KJ_FAIL_REQUIRE(kj::str(at(error.source()), std::string(error.description()).c_str()));
  } catch (const kj::Exception& error) { KJ_FAIL_REQUIRE(kj::str(where, error.getDescription())); }
}

Options Options::parse(int argc, char* argv[]) {
  Options options;
  CLI::App app("The bpfman daemon: loads, attaches and shows eBPF programs for others.", "bpfmand");
  app.set_version_flag("-V,--version", "bpfmand " BPFMAN_VERSION);
  for (auto& row : PATHS) {
    auto take = [&options, field = row.field](const std::string& path) {
      if (path.empty()) KJ_FAIL_REQUIRE("an empty path");
      options.*field = kj::str(std::filesystem::absolute(path).lexically_normal().c_str());
    };
    app.add_option_function<std::string>(row.flag, take, row.help);
  }
  std::string ignored;
  app.add_flag("--csi-support", ignored, "accepted; the Kubernetes agent has the CSI driver");
  app.add_option("--image-cache-dir", ignored, "accepted; images are not kept by this daemon");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& end) { exit(app.exit(end) != 0); }
  if (options.socketPath.size() == 0) options.socketPath = kj::str(options.runtimeDir, "/bpfman.sock");
  readConfiguration(options);
  return options;
}

}  // namespace bpfman
