// Each way keeps a chain on an interface of its own, and all do the same to it in turns: a last member comes, moves to the front, all are
// turned round, it goes. Commands are compared with commands: a process each, from its start to its end. xdp-loader can neither move a
// member nor change several at once: there it takes out and puts in again.
#include "bench/chains.h"

#include <fcntl.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include <kj/debug.h>

#include "bench/daemon.h"
#include "bench/direct.h"
#include "bench/remote.h"
#include "bench/samples.h"

extern char** environ;

namespace bpfman::bench {

namespace {

constexpr size_t MOST = 10;  // as many as libxdp's dispatcher takes
constexpr size_t SIZES[] = {1, 5, 10};
constexpr uint32_t RUNS = 1000000, SLOW_RUNS = 100000, PACKET_ROUNDS = 15;
constexpr uint32_t STEP = 10, FRONT = 1;  // priorities: STEP, 2 * STEP, …
constexpr double AIM = 0.25;              // of xdp-loader's time, to attach and to detach

using Words = std::vector<std::string>;

void command(const Words& words, bool succeeds = true) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  if (!succeeds) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  int problem = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ), status = 0;
  posix_spawn_file_actions_destroy(&actions);
  KJ_REQUIRE(problem == 0, "can't be started", arguments[0]);
  KJ_SYSCALL(waitpid(pid, &status, 0));
  KJ_REQUIRE(!succeeds || status == 0, "failed", words[0].c_str(), words[1].c_str(), status);
}

struct Times {
  Samples start, attach, move, turn, detach;  // start: of a command that does nothing
};

class Way {
 public:
  explicit Way(std::string interface) : interface(std::move(interface)) {}
  virtual ~Way() noexcept(false) {}
  virtual void grow(size_t size) = 0;  // to so many members, at 10, 20, …
  virtual void round(Times& times) = 0;
  // The last member leaves before it, and is there again in the end.

  double packet(uint32_t runs) const {
    uint32_t id = 0;
    KJ_REQUIRE(bpf_xdp_query_id(if_nametoindex(interface.c_str()), 0, &id) == 0 && id != 0, "no dispatcher", interface.c_str());
    return nanosecondsPerRunOf(id, runs);
  }

 protected:
  std::string interface;
  size_t size = 0;
};

class Ours : public Way {
 public:
  Ours(kj::AsyncIoContext& io, const std::string& binaries, const std::string& directory, const Object& object, const std::string& engine,
       std::string interface)
      : Way(std::move(interface)),
        cli(binaries + "/bpfman"),
        object(object),
        daemon(binaries + "/bpfmand", directory, engine == "tailcall" ? "[xdp]\nengine = \"tailcall\"\n" : ""),
        remote(io, daemon.runtimeDir()),
        steps(directory + "/steps") {
    auto [used, reason] = remote.engine();
    KJ_REQUIRE(used == engine, reason.c_str());
  }

  void grow(size_t wanted) override {
    for (; size < wanted; ++size) {
      programs.push_back(remote.loadNow(object));
      remote.attachXdp(programs.back(), interface, (size + 1) * STEP);
      links.push_back(remote.newestLink());
    }
  }

 protected:
  std::string cli;
  const Object& object;
  Daemon daemon;
  Remote remote;
  std::string steps;
  std::vector<Remote::Loaded> programs;
  std::vector<uint32_t> links;

  std::vector<std::pair<uint32_t, uint32_t>> turned() const {  // link, priority
    std::vector<std::pair<uint32_t, uint32_t>> order;
    for (size_t i = 0; i < size; ++i) order.emplace_back(links[i], (size - i) * STEP);
    return order;
  }
  std::vector<std::pair<uint32_t, uint32_t>> straight() const {
    std::vector<std::pair<uint32_t, uint32_t>> order;
    for (size_t i = 0; i < size; ++i) order.emplace_back(links[i], (i + 1) * STEP);
    return order;
  }
};

class ByCommand final : public Ours {
 public:
  using Ours::Ours;

  void round(Times& times) override {
    auto run = [&](Words words) {
      words.insert(words.begin(), cli);
      setenv("BPFMAN_RUNTIME_DIR", daemon.runtimeDir().c_str(), 1);
      return microsecondsOf([&] { command(words); });
    };
    auto last = [&] { return std::to_string(links.back()); };
    times.start.add(run({"link", "--help"}));
    times.detach.add(run({"link", "detach", last()}));
    times.attach.add(run({"link", "attach", "xdp", std::to_string(programs.back().id), interface, "-p", std::to_string(size * STEP)}));
    links.back() = remote.newestLink();
    times.move.add(run({"link", "update", last(), "--priority", std::to_string(FRONT)}));
    std::ofstream file(steps);
    for (auto [link, priority] : turned()) file << "link update " << link << " --priority " << priority << "\n";
    file.close();
    times.turn.add(run({"change", "apply", steps}));
    remote.modify(straight());
  }
};

class ByRpc final : public Ours {
 public:
  using Ours::Ours;

  void round(Times& times) override {
    times.detach.add(microsecondsOf([&] { remote.detach(links.back()); }));
    times.attach.add(microsecondsOf([&] { remote.attachXdp(programs.back(), interface, size * STEP); }));
    links.back() = remote.newestLink();
    times.move.add(microsecondsOf([&] { remote.modify({{links.back(), FRONT}}); }));
    times.turn.add(microsecondsOf([&] { remote.modify(turned()); }));
    remote.modify(straight());
  }
};

class XdpLoader final : public Way {
 public:
  XdpLoader(std::string path, std::string interface) : Way(std::move(interface)), path(std::move(path)) {}
  ~XdpLoader() noexcept(false) override {
    if (size > 0) command({"xdp-loader", "unload", interface, "--all"});
  }

  void grow(size_t wanted) override {
    for (; size < wanted; ++size) load((size + 1) * STEP);
    KJ_REQUIRE(!members().empty(), "no dispatcher: libxdp needs freplace for it");
  }

  void round(Times& times) override {
    times.start.add(microsecondsOf([&] { command({"xdp-loader", "help"}, false); }));
    times.detach.add(microsecondsOf([&, id = members().back()] { unload(id); }));
    times.attach.add(microsecondsOf([&] { load(size * STEP); }));
    times.move.add(microsecondsOf([&, id = members().back()] {
      unload(id);
      load(FRONT);
    }));
    times.turn.add(microsecondsOf([&] {  // the new one is the old ones' reverse: the objects are all alike
      command({"xdp-loader", "unload", interface, "--all"});
      for (size_t i = size; i > 0; --i) load(i * STEP);
    }));
  }

 private:
  std::string path;

  void load(uint32_t priority) { command({"xdp-loader", "load", "-P", std::to_string(priority), interface, path}); }
  void unload(const std::string& id) { command({"xdp-loader", "unload", interface, "--id", id}); }

  Words members() const {  // lines: => PRIORITY NAME ID …
    Words ids;
    FILE* status = popen(("xdp-loader status " + interface).c_str(), "r");
    char line[256];
    while (fgets(line, sizeof line, status)) {
      std::istringstream words(line);
      std::string arrow, priority, name, id;
      if (words >> arrow >> priority >> name >> id && arrow == "=>") ids.push_back(id);
    }
    pclose(status);
    return ids;
  }
};

std::unique_ptr<Way> tried(const char* what, kj::Function<std::unique_ptr<Way>()> make) {
  std::unique_ptr<Way> way;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() {
                 way = make();
                 way->grow(1);
               })) {
    printf("  %s: not here: %s\n", what, exception->getDescription().cStr());
    return nullptr;
  }
  return way;
}

using Ways = std::vector<std::pair<std::string, std::unique_ptr<Way>>>;

// Of a packet in each. In turns, so that a machine that is busy for a while is so for all.
std::vector<double> costs(const Ways& ways) {
  std::vector<Samples> samples(ways.size());
  uint32_t runs = ways.empty() || ways[0].second->packet(SLOW_RUNS) > 50 ? SLOW_RUNS : RUNS;  // emulated
  for (uint32_t round = 0; round < PACKET_ROUNDS; ++round)
    for (size_t i = 0; i < ways.size(); ++i) samples[i].add(ways[i].second->packet(runs));
  std::vector<double> medians;
  for (auto& each : samples) medians.push_back(each.median());
  return medians;
}

using Which = Samples Times::*;

void print(const char* what, Which which, const std::vector<std::pair<std::string, Times>>& all, double aim) {
  double loader = 0;
  for (auto& [name, times] : all)
    if (name == "xdp-loader") loader = (times.*which).median();
  for (auto& [name, times] : all) {
    auto& samples = times.*which;
    if (samples.empty()) continue;
    printf("  %-10s %-22s %12.0f  p95 %10.0f", what, name.c_str(), samples.median(), samples.p95());
    if (loader > 0 && name != "xdp-loader") {
      if (aim > 0)
        printf("   %.1f times faster; %s", loader / samples.median(), verdict(samples.median() / loader, aim, "x").c_str());
      else
        printf("   %.1f times faster", loader / samples.median());
    }
    printf("\n");
  }
  fflush(stdout);
}

}  // namespace

void measureChains(const std::string& binaries, const std::string& objects, const std::string& directory, size_t rounds) {
  printHeading("Who can keep a chain of XDP programs here");
  auto io = kj::setupAsyncIo();
  auto object = readObject(objects, "xdp_counter", schema::ProgramType::XDP);
  Ways ways;
  size_t interfaces = 0;
  auto add = [&](std::string name, kj::Function<std::unique_ptr<Way>(std::string)> make) {
    auto way = tried(name.c_str(), [&]() { return make("bench" + std::to_string(interfaces++)); });
    if (!way) return;
    printf("  %s\n", name.c_str());
    ways.emplace_back(std::move(name), std::move(way));
  };
  for (const char* engine : {"tailcall", "libxdp"}) {
    add(std::string(engine) + ", command", [&](std::string interface) {
      return std::make_unique<ByCommand>(io, binaries, directory + "/" + engine + "-command", object, engine, interface);
    });
    add(std::string(engine) + ", RPC", [&](std::string interface) {
      return std::make_unique<ByRpc>(io, binaries, directory + "/" + engine + "-rpc", object, engine, interface);
    });
  }
  add("xdp-loader", [&](std::string interface) { return std::make_unique<XdpLoader>(object.path, interface); });

  std::map<size_t, std::vector<std::pair<std::string, Times>>> times;
  std::vector<std::vector<double>> packets;
  for (size_t size = 1; size <= MOST; ++size) {
    for (auto& [name, way] : ways) way->grow(size);
    packets.push_back(costs(ways));
    if (std::find(std::begin(SIZES), std::end(SIZES), size) == std::end(SIZES)) continue;
    for (auto& [name, way] : ways) times[size].emplace_back(name, Times());
    for (size_t round = 0; round < rounds; ++round)
      for (size_t i = 0; i < ways.size(); ++i) ways[i].second->round(times[size][i].second);
    printHeading("A chain of " + std::to_string(size) + ", microseconds (medians of " + std::to_string(rounds) + ")");
    print("attach", &Times::attach, times[size], AIM);
    print("detach", &Times::detach, times[size], AIM);
    print("update", &Times::move, times[size], 0);
    print("reorder", &Times::turn, times[size], 0);
    print("start", &Times::start, times[size], 0);
  }
  printHeading("Nanoseconds a packet (BPF_PROG_TEST_RUN of the dispatcher; each program counts packets in a per-CPU map)");
  printf("  %-10s", "programs");
  for (auto& [name, way] : ways) printf(" %18s", name.c_str());
  printf("\n");
  for (size_t size = 1; size <= MOST; ++size) {
    printf("  %-10zu", size);
    for (double each : packets[size - 1]) printf(" %18.1f", each);
    printf("\n");
  }
}

}  // namespace bpfman::bench
