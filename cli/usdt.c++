// Static probes: where each is and where its arguments are the binary says; the program finds that in a map of its load.
#include "client/usdt.h"
#include "cli/attach-kinds.h"
#include "client/error.h"

#include <algorithm>
#include <cstring>

namespace bpfman {
namespace {

schema::Map::Client specsOf(Session& session, uint32_t program) {
  auto answer = session.wait(findProgram(session, program).mapsRequest().send());
  for (auto map : answer.getMaps())
    if (map.getName() == USDT_SPECS) return map.getMap();
  fail(kj::str("program ", program, " has no map ", USDT_SPECS, ": is it made with <bpf/usdt.bpf.h>?"));
}

// The key of an element with this value, which another attach may have made already; else of one that nobody uses.
uint32_t keyFor(Session& session, schema::Map::Client map, kj::ArrayPtr<const kj::byte> spec) {
  kj::Maybe<uint32_t> unused;
  kj::Array<kj::byte> after;
  for (bool more = true; more;) {
    auto request = map.readRequest();
    request.setAfter(after);
    request.setLimit(64);
    auto answer = session.wait(request.send());
    for (auto entry : answer.getEntries()) {
      auto value = entry.getValue();
      uint32_t key;
      if (entry.getKey().size() != sizeof key || value.size() != spec.size()) fail(kj::str("the map ", USDT_SPECS, " has another layout"));
      memcpy(&key, entry.getKey().begin(), sizeof key);
      if (value == spec) return key;
      if (unused == nullptr && std::all_of(value.begin(), value.end(), [](kj::byte byte) { return byte == 0; })) unused = key;
      after = kj::heapArray<kj::byte>(entry.getKey());
    }
    more = answer.getMore();
  }
  KJ_IF_MAYBE (key, unused) {
    auto request = map.updateRequest();
    request.setKey(kj::arrayPtr(reinterpret_cast<const kj::byte*>(key), sizeof *key));
    request.setValue(spec);
    session.wait(request.send());
    return *key;
  }
  fail(kj::str("the map ", USDT_SPECS, " is full: attach fewer probes to one load's programs"));
}

// What is not said is as the program's section has it: "/usr/bin/node:node:gc__start".
void takeSection(Session& session, AttachArguments& arguments) {
  if (!arguments.binary.empty() && !arguments.probe.empty()) return;
  auto answer = session.wait(findProgram(session, arguments.program).getRequest().send());
  std::string section = answer.getDetails().getRecord().getAttachTo().cStr();
  auto name = section.rfind(':'), provider = name == section.npos || name == 0 ? section.npos : section.rfind(':', name - 1);
  if (provider == section.npos || provider == 0)
    fail(kj::str("say in which binary (TARGET), and which probe: the section of program ", arguments.program, " names none"));
  if (arguments.binary.empty()) arguments.binary = section.substr(0, provider);
  if (arguments.probe.empty()) arguments.probe = section.substr(provider + 1);
}

}  // namespace

void chooseUsdtSpecs(Session& session, AttachArguments& arguments) {
  takeSection(session, arguments);
  auto colon = arguments.probe.find(':');
  if (colon == std::string::npos) fail(kj::str("static probe \"", arguments.probe.c_str(), "\": expected PROVIDER:NAME"));
  auto path = binaryPath(arguments);
  arguments.probes = staticProbesOf(path.c_str(), arguments.probe.substr(0, colon).c_str(), arguments.probe.substr(colon + 1).c_str());
  auto map = specsOf(session, arguments.program);
  for (auto& probe : arguments.probes) arguments.cookies.push_back(keyFor(session, map, usdtSpec(probe.arguments.c_str(), 0)));
}

}  // namespace bpfman
