// A sidecar: a process of any user, with no capability, that follows the counters of a program which someone else had bpfman load.
// It shows all ways side by side; a real one would choose. README.md says what the policy must grant for each.
#include <unistd.h>

#include <kj/debug.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "examples/sidecar/counters.h"

namespace bpfman {

namespace {

struct Options {
  std::string runtimeDir = DEFAULT_RUNTIME_DIR, map;
  uint32_t program = 0;
  unsigned rounds = 1, seconds = 1;
};

constexpr char USAGE[] =
    "Usage: bpfman-sidecar [--runtime-dir DIR] [--map NAME] [--rounds N] [--seconds S] PROGRAM_ID\n\n"
    "Prints the counters in the maps of a program, N times with S seconds between, each read over the RPC, from an iterator, and\n"
    "through the map's own descriptor. Exit code 1 if one was refused.\n";

Options parse(int argc, char* argv[]) {
  Options options;
  if (const char* fromEnvironment = getenv("BPFMAN_RUNTIME_DIR")) options.runtimeDir = fromEnvironment;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word[0] != '-') {
      options.program = strtoul(argv[i], nullptr, 10);
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (word == "--runtime-dir")
      options.runtimeDir = value;
    else if (word == "--map")
      options.map = value;
    else if (word == "--rounds")
      options.rounds = strtoul(value, nullptr, 10);
    else if (word == "--seconds")
      options.seconds = strtoul(value, nullptr, 10);
    else
      options.program = 0, argc = 0;
  }
  if (options.program == 0) {
    fputs(USAGE, stderr);
    exit(2);
  }
  return options;
}

std::string effectiveCapabilities() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("CapEff:\t", 0) == 0) return line.substr(8);
  return "unknown";
}

void print(const char* how, const Counters& counters) {
  bool any = false;
  for (auto& [key, words] : counters) {
    bool zero = true;
    for (uint64_t word : words) zero = zero && word == 0;
    if (zero) continue;
    printf("  %-18s key %s:", any ? "" : how, key.c_str());
    for (uint64_t word : words) printf(" %llu", static_cast<unsigned long long>(word));
    printf("\n");
    any = true;
  }
  if (!any) printf("  %-18s nothing counted yet\n", how);
}

// Calls `act`, and says in one line why it did not work.
template <typename Act>
bool tried(const char* how, Act&& act) {
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions(kj::fwd<Act>(act))) {
    printf("  %-18s %s\n", how, whatWentWrong(*exception).cStr());
    return false;
  }
  return true;
}

bool follow(const Options& options) {
  auto io = kj::setupAsyncIo();
  auto& scope = io.waitScope;
  Connection daemon(io, options.runtimeDir.c_str());
  auto get = daemon.programs().getRequest();
  get.setId(options.program);
  auto program = get.send().wait(scope);
  auto maps = program.getProgram().mapsRequest().send().wait(scope);
  bool all = true;
  for (unsigned round = 0; round < options.rounds; ++round) {
    if (round > 0) io.provider->getTimer().afterDelay(options.seconds * kj::SECONDS).wait(scope);
    for (auto each : maps.getMaps()) {
      if (!options.map.empty() && options.map != each.getName().cStr()) continue;
      auto map = each.getMap();
      auto info = map.infoRequest().send().wait(scope);
      auto shape = Shape::of(info.getKernel());
      printf("program %u (%s), map %s (%s)\n", options.program, program.getDetails().getRecord().getName().cStr(), each.getName().cStr(),
             info.getKernel().getTypeName().cStr());
      all &= tried("over the RPC", [&] { print("over the RPC", readOverRpc(map, shape).wait(scope)); });
      all &= tried("from an iterator", [&] {
        auto iterator = received(map.iterateRequest().send().wait(scope).getDescriptor()).wait(scope);
        print("from an iterator", readByIterator(iterator.get(), shape));
      });
      all &= tried("by its descriptor", [&] {
        auto request = map.descriptorRequest();
        request.setAccess(schema::Map::Access::READ);
        auto descriptor = received(request.send().wait(scope).getDescriptor()).wait(scope);
        print("by its descriptor", readByDescriptor(descriptor.get(), shape));
      });
    }
    fflush(stdout);
  }
  return all;
}

}  // namespace

}  // namespace bpfman

int main(int argc, char* argv[]) {
  auto options = bpfman::parse(argc, argv);
  printf("uid %u, effective capabilities %s\n", getuid(), bpfman::effectiveCapabilities().c_str());
  bool all = false;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { all = bpfman::follow(options); })) {
    fprintf(stderr, "bpfman-sidecar: %s\n", bpfman::whatWentWrong(*exception).cStr());
  }
  return all ? 0 : 1;
}
