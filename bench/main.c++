// bpfman-bench: what bpfman costs, beside the same work done by libbpf in process. Prints tables; a time never fails it. Run it by
// tools/bench, which gives it interfaces and a directory that leave with it.
#include <fcntl.h>
#include <kj/debug.h>
#include <net/if.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "bench/chains.h"
#include "bench/daemon.h"
#include "bench/direct.h"
#include "bench/packets.h"
#include "bench/samples.h"

namespace bpfman::bench {

namespace {

constexpr size_t LEVELS[] = {1, 100, 1000};  // programs loaded
constexpr size_t PER_INTERFACE = 50;         // of them; the kernel allows 64 on one hook
constexpr size_t ROUNDS = 30, START_ROUNDS = 5, TOGETHER = 4;
constexpr useconds_t REFILL = 60000;  // us in which the pool of loaders fills again
constexpr useconds_t REST = 1000000;  // us until nothing is under way any more
constexpr double LOAD_AIM = 4, BTF_AIM = 1.2, LIST_AIM = 1, REST_AIM = 15, SLOWER_AIM = 1.2;

std::string interfaceFor(size_t program) { return "bench" + std::to_string(program / PER_INTERFACE); }

class Bench {
 public:
  Bench(const std::string& binaries, const std::string& objects, const std::string& directory, size_t most)
      : binary(binaries + "/bpfmand"),
        directory(directory),
        most(most),
        xdp(readObject(objects, "xdp_counter", schema::ProgramType::XDP)),
        tcx(readObject(objects, "tcx_counter", schema::ProgramType::TCX)),
        tpBtf(readObject(objects, "tp_btf_counter", schema::ProgramType::TP_BTF)) {}

  void run() {
    measureStart();
    Daemon daemon(binary, directory + "/daemon");
    weigh(daemon, "Memory at rest", REST_AIM);
    {
      auto io = kj::setupAsyncIo();
      Remote remote(io, daemon.runtimeDir());
      measurePackets(remote, xdp, "bench0");
      for (size_t level : LEVELS) {
        if (level > most) continue;
        grow(remote, level);
        measureLevel(remote, level);
        if (level == LEVELS[0]) measureBtf(remote);
      }
      printSlopes();
      weigh(daemon, "Memory with " + std::to_string(loaded.size()) + " programs loaded and attached", 0);
      loaded.clear();
    }
    weigh(daemon, "The same, when the client has left", 0);
  }

 private:
  std::string binary, directory;
  size_t most;
  Object xdp, tcx, tpBtf;
  std::vector<Remote::Loaded> loaded;
  std::map<std::string, std::map<size_t, double>> medians;  // operation, level

  void measureStart() {
    printHeading("Start");
    Samples start;
    for (size_t i = 0; i < START_ROUNDS; ++i) {
      std::optional<Daemon> daemon;
      start.add(microsecondsOf([&] { daemon.emplace(binary, directory + "/start" + std::to_string(i)); }));
    }
    printf("  spawn of bpfmand until it serves, new state: %.1f ms, p95 %.1f ms\n", start.median() / 1000, start.p95() / 1000);
    fflush(stdout);
  }

  void weigh(const Daemon& daemon, const std::string& title, double aim) {
    usleep(REST);
    printHeading(title + " (proportional, KiB)");
    double all = 0;
    for (auto& [name, size] : daemon.memory()) {
      printf("  %-34s %10.0f\n", name.c_str(), size);
      all += size;
    }
    if (aim > 0)
      printf("  %-34s %10.0f   %s\n", "all", all, verdict(all / 1024, aim, " MiB").c_str());
    else
      printf("  %-34s %10.0f   %.2f MiB\n", "all", all, all / 1024);
    fflush(stdout);
  }

  void grow(Remote& remote, size_t level) {
    while (loaded.size() < level) {
      std::vector<kj::Promise<Remote::Loaded>> batch;
      for (size_t i = loaded.size(); i < level && batch.size() < TOGETHER; ++i) batch.push_back(remote.load(tcx));
      for (auto& each : batch) {
        loaded.push_back(each.wait(remote.io.waitScope));
        remote.attachTcx(loaded.back(), interfaceFor(loaded.size()).c_str());
      }
    }
  }

  struct Times {
    Samples load, attach, detach, unload;
  };

  Times viaRpc(Remote& remote, const Object& object, size_t rounds, useconds_t pause) {
    Times times;
    for (size_t i = 0; i < rounds; ++i) {
      usleep(pause);
      std::optional<Remote::Loaded> program;
      times.load.add(microsecondsOf([&] { program = remote.loadNow(object); }));
      if (object.type == schema::ProgramType::TCX) {
        std::optional<schema::Link::Client> link;
        times.attach.add(microsecondsOf([&] { link = remote.attachTcx(*program, "bench0"); }));
        times.detach.add(microsecondsOf([&] { remote.detach(*link); }));
      }
      times.unload.add(microsecondsOf([&] { remote.unload(*program); }));
    }
    return times;
  }

  Times viaLibbpf(const Object& object, size_t rounds, useconds_t pause) {
    Times times;
    for (size_t i = 0; i < rounds; ++i) {
      usleep(pause);  // as the others have it: an idle processor is slower at first
      std::optional<Direct> program;
      times.load.add(microsecondsOf([&] { program.emplace(object); }));
      if (object.type == schema::ProgramType::TCX) {
        std::unique_ptr<bpf_link, DestroyLink> link;
        times.attach.add(microsecondsOf([&] { link = program->attachTcx(if_nametoindex("bench0")); }));
        times.detach.add(microsecondsOf([&] { link.reset(); }));
      }
      times.unload.add(microsecondsOf([&] { program.reset(); }));
    }
    return times;
  }

  // Loads asked for all at once; the last of them finds no loader waiting.
  Samples drained(Remote& remote) {
    Samples samples;
    for (size_t i = 0; i < ROUNDS / 3; ++i) {
      usleep(REFILL);
      std::vector<Remote::Loaded> programs;
      samples.add(microsecondsOf([&] {
                    std::vector<kj::Promise<Remote::Loaded>> all;
                    for (size_t j = 0; j < 2 * TOGETHER; ++j) all.push_back(remote.load(tcx));
                    for (auto& each : all) programs.push_back(each.wait(remote.io.waitScope));
                  }) /
                  (2 * TOGETHER));
      for (auto& each : programs) remote.unload(each);
    }
    return samples;
  }

  Row record(size_t level, Row row) {
    medians[row.what][level] = row.ours.median();
    return row;
  }

  void measureLevel(Remote& remote, size_t level) {
    printHeading("With " + std::to_string(level) + " programs loaded: small object (tcx_counter)");
    printColumns();
    auto ours = viaRpc(remote, tcx, ROUNDS, REFILL), direct = viaLibbpf(tcx, ROUNDS, REFILL);
    auto busy = viaRpc(remote, tcx, ROUNDS, 0);
    printRow(record(level, {"load", ours.load, direct.load, LOAD_AIM}));
    printRow(record(level, {"load, no pause before it", busy.load, {}}));
    printRow(record(level, {"load, each of 8 at once", drained(remote), {}}));
    printRow(record(level, {"attach TCX", ours.attach, direct.attach}));
    printRow(record(level, {"detach TCX", ours.detach, direct.detach}));
    printRow(record(level, {"unload", ours.unload, direct.unload}));

    uint32_t id = loaded.front().id;
    Samples get, inspecting, list, overview, walk, walkBoth;
    for (size_t i = 0; i < ROUNDS; ++i) {
      get.add(microsecondsOf([&] { remote.get(id); }));
      inspecting.add(microsecondsOf([&] { inspect(id); }));
      list.add(microsecondsOf([&] { remote.list(); }));
      overview.add(microsecondsOf([&] { remote.overview(); }));
      walk.add(microsecondsOf([&] { walkPrograms(); }));
      walkBoth.add(microsecondsOf([&] { walkPrograms(), walkLinks(); }));
    }
    KJ_REQUIRE(remote.list() >= level, "not all are listed");
    printRow(record(level, {"get (program and its maps)", get, inspecting}));
    double aim = level == 1000 ? LIST_AIM : 0;
    printRow(record(level, {"list / id walk of programs, links", list, walkBoth, aim}));
    printRow(record(level, {"list / id walk of programs alone", list, walk, aim}));
    printRow(record(level, {"overview / id walk of programs", overview, walk, aim}));
  }

  void measureBtf(Remote& remote) {
    printHeading("An object that needs the kernel's BTF (tp_btf_counter)");
    printColumns();
    auto ours = viaRpc(remote, tpBtf, ROUNDS, REFILL), direct = viaLibbpf(tpBtf, ROUNDS, REFILL);
    auto busy = viaRpc(remote, tpBtf, ROUNDS, 0);
    printRow({"load", ours.load, direct.load, BTF_AIM});
    printRow({"load, no pause before it", busy.load, {}});
    printRow({"unload", ours.unload, direct.unload});
  }

  void printSlopes() {
    printHeading("What more programs cost (medians, microseconds)");
    for (const char* what :
         {"load", "attach TCX", "detach TCX", "unload", "get (program and its maps)", "list / id walk of programs alone"}) {
      auto& at = medians[what];
      printf("  %-34s", what);
      for (auto& [level, median] : at) printf(" %8.1f at %zu", median, level);
      bool lists = what[0] == 'l' && what[1] == 'i';
      if (lists)
        printf("   %.2f us a program\n", at.rbegin()->second / at.rbegin()->first);
      else
        printf("   %s\n", verdict(at.rbegin()->second / at.begin()->second, SLOWER_AIM, "x").c_str());
    }
    fflush(stdout);
  }
};

}  // namespace

}  // namespace bpfman::bench

int main(int argc, char* argv[]) {
  if (argc != 6) return fprintf(stderr, "usage: bpfman-bench BINARIES OBJECTS DIRECTORY all|chains MOST; see tools/bench\n"), 2;
  libbpf_set_print(nullptr);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] {
                 size_t most = strtoul(argv[5], nullptr, 10);
                 if (std::string(argv[4]) == "chains")
                   bpfman::bench::measureChains(argv[1], argv[2], argv[3], most);
                 else
                   bpfman::bench::Bench(argv[1], argv[2], argv[3], most).run();
               })) {
    fprintf(stderr, "bpfman-bench: %s\n", bpfman::whatWentWrong(*exception).cStr());
    return 1;
  }
  return 0;
}
