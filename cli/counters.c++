#include "cli/counters.h"
#include "cli/names.h"
#include "cli/text.h"

namespace bpfman {
namespace {

schema::ProgramType typeOf(schema::Dispatcher::Reader dispatcher) {
  return dispatcher.getType() == "xdp" ? schema::ProgramType::XDP : schema::ProgramType::TC;
}

struct Fates {
  uint64_t dropped = 0, redirected = 0;
  std::string others;  // "pass 5, tx 3"
};

Fates fatesOf(schema::ProgramType type, schema::Dispatcher::Counters::Reader counters) {
  Fates fates;
  auto add = [&](const std::string& name, uint64_t packets) {
    fates.others += (fates.others.empty() ? "" : ", ") + name + " " + std::to_string(packets);
  };
  for (auto final : counters.getFinals()) {
    switch (fateOf(type, final.getVerdict())) {
      case Fate::dropped: fates.dropped += final.getPackets(); break;
      case Fate::redirected: fates.redirected += final.getPackets(); break;
      case Fate::other: add(verdictName(type, final.getVerdict()), final.getPackets());
    }
  }
  if (counters.getOtherFinals()) add("unknown", counters.getOtherFinals());
  return fates;
}

}  // namespace

void printCounters(std::ostream& out, schema::Dispatcher::Reader dispatcher) {
  out << "  Counting: " << nameOf(dispatcher.getCounting());
  if (dispatcher.getNoCounters().size()) {
    out << " (" << dispatcher.getNoCounters().cStr() << ")\n";
    return;
  }
  if (dispatcher.getCounting() == schema::Counting::OFF) {
    out << " (on: bpfman dispatcher count " << dispatcher.getType().cStr() << " " << dispatcher.getNsid() << " " << dispatcher.getIfindex()
        << " verdicts|time)\n";
    return;
  }
  out << "\n";
  Table table({"POS", "FUNCTION NAME", "SEEN", "PASSED ON", "DROPPED", "REDIRECTED", "OTHER FINAL VERDICTS", "TIMED RUNS", "RUN TIME"});
  auto type = typeOf(dispatcher);
  for (auto member : dispatcher.getMembers()) {
    auto counters = member.getCounters();
    auto fates = fatesOf(type, counters);
    bool timed = counters.getTimedRuns() > 0;
    table.row({std::to_string(member.getPosition()), member.getProgramName().cStr(), std::to_string(counters.getSeen()),
               std::to_string(counters.getPassedOn()), std::to_string(fates.dropped), std::to_string(fates.redirected), fates.others,
               timed ? std::to_string(counters.getTimedRuns()) : "", timed ? std::to_string(counters.getNanoseconds()) + " ns" : ""});
  }
  table.elideIfEmpty(8);
  table.elideIfEmpty(7);
  table.elideIfEmpty(6);
  table.print(out, "    ");
}

Json countersJson(schema::Dispatcher::Reader dispatcher, schema::Dispatcher::Member::Reader member) {
  auto type = typeOf(dispatcher);
  auto counters = member.getCounters();
  auto fates = fatesOf(type, counters);
  Json verdicts = Json::object();
  for (auto final : counters.getFinals()) verdicts[verdictName(type, final.getVerdict())] = final.getPackets();
  if (counters.getOtherFinals()) verdicts["unknown"] = counters.getOtherFinals();
  return {{"seen", counters.getSeen()},
          {"passed_on", counters.getPassedOn()},
          {"dropped", fates.dropped},
          {"redirected", fates.redirected},
          {"final_verdicts", verdicts},
          {"timed_runs", counters.getTimedRuns()},
          {"run_time_ns", counters.getNanoseconds()}};
}

}  // namespace bpfman
