// A chain of n programs is what clients of bpfman attached; the kernel runs its dispatcher on a packet a million times
// (BPF_PROG_TEST_RUN). One program alone, without dispatcher, is the measure; what the test itself costs is that of a program that only
// returns.
#include "bench/packets.h"

#include <net/if.h>

#include <cstdio>

#include "bench/direct.h"
#include "bench/samples.h"
#include "dispatchers/objects.h"

namespace bpfman::bench {

namespace {

constexpr uint32_t RUNS = 1000000, ROUNDS = 9;
constexpr size_t CHAINS[] = {1, 2, 5, 10};
constexpr double AIM = 10;  // ns a program
constexpr std::pair<schema::Counting, const char*> COUNTINGS[] = {{schema::Counting::VERDICTS, "counting verdicts"},
                                                                  {schema::Counting::TIME, "counting verdicts and time"}};

template <typename Once>
Samples nanoseconds(Once&& once) {
  once();  // the first is for the caches
  Samples samples;
  for (uint32_t i = 0; i < ROUNDS; ++i) samples.add(once());
  return samples;
}

}  // namespace

void measurePackets(Remote& remote, const Object& xdp, kj::StringPtr interface) {
  printHeading("XDP dispatcher: nanoseconds a packet (BPF_PROG_TEST_RUN; the program counts packets in a per-CPU map)");
  Direct alone(xdp), empty(xdpTailcallDispatcher());
  auto pass = passProgram();
  auto single = nanoseconds([&] { return nanosecondsPerRun(alone.program(), RUNS); });
  auto nothing = nanoseconds([&] { return nanosecondsPerRun(pass.get(), RUNS); });
  auto none = nanoseconds([&] { return nanosecondsPerRun(empty.program(), RUNS); });
  printf("  %-34s %8.1f  p95 %8.1f\n", "a program that only returns", nothing.median(), nothing.p95());
  printf("  %-34s %8.1f  p95 %8.1f\n", "the program alone", single.median(), single.p95());
  printf("  %-34s %8.1f  p95 %8.1f\n", "dispatcher with 0 programs", none.median(), none.p95());

  std::vector<Remote::Loaded> programs;
  std::vector<schema::Link::Client> links;
  Samples first, further, last;
  for (size_t count : CHAINS) {
    while (links.size() < count) {
      programs.push_back(remote.loadNow(xdp));
      (links.empty() ? first : further).add(microsecondsOf([&] { links.push_back(remote.attachXdp(programs.back(), interface)); }));
    }
    auto id = remote.dispatcherOn(interface);
    auto chain = nanoseconds([&] { return nanosecondsPerRunOf(id, RUNS); });
    double each = (chain.median() - none.median()) / count - (single.median() - nothing.median());
    printf("  dispatcher with %2zu program%-10s  %8.1f  p95 %8.1f   a program beside its own time: %s\n", count, count == 1 ? "" : "s",
           chain.median(), chain.p95(), verdict(each, AIM, " ns").c_str());
    for (auto [counting, name] : COUNTINGS) {
      remote.count(interface, counting);
      auto counted = nanoseconds([&] { return nanosecondsPerRunOf(id, RUNS); });
      remote.count(interface, schema::Counting::OFF);
      printf("    %-32s %8.1f  p95 %8.1f   %.1f ns more for each program\n", name, counted.median(), counted.p95(),
             (counted.median() - chain.median()) / count);
    }
  }
  Samples detaching;
  while (!links.empty()) {
    (links.size() == 1 ? last : detaching).add(microsecondsOf([&] { remote.detach(links.back()); }));
    links.pop_back();
  }
  for (auto& program : programs) remote.unload(program);

  printHeading("XDP attach and detach");
  printColumns();
  printRow({"attach, first on its interface", first, {}});
  printRow({"attach, to a chain", further, {}});
  printRow({"detach, from a chain", detaching, {}});
  printRow({"detach, the last", last, {}});
}

}  // namespace bpfman::bench
