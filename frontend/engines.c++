#include <algorithm>

#include <kj/debug.h>
#include <linux/bpf.h>
#include <spdlog/spdlog.h>

#include "frontend/engine.h"
#include "frontend/refuse.h"

namespace bpfman {

// `auto` decides once, by trying. A host whose configuration names libxdp serves nothing else: who relies on it must not get another by
// chance.
void Engines::start(kj::WaitScope& scope) {
  if (configured != wire::WantedEngine::tailcall) preferLibxdp = libxdp->start(scope);
  if (configured == wire::WantedEngine::libxdp && !preferLibxdp)
    refuse("engine libxdp, which the configuration wants, can't be used: ", libxdp->reason(), "; set xdp.engine = \"auto\"");
  tailcall->start(scope);
  spdlog::info("engine {}: {}", preferred().name().cStr(), reason().cStr());
}

void Engines::recover(kj::WaitScope& scope) {
  libxdp->recover(scope);
  tailcall->recover(scope);
}

ChainEngine& Engines::wanted(const std::string& name) {
  if (name.empty() || name == "auto") return preferred();
  if (name == tailcall->name().cStr()) return *tailcall;
  if (name != libxdp->name().cStr()) refuse("engine \"", name.c_str(), "\": expected auto, libxdp or tailcall");
  if (!preferLibxdp) refuse("no program can be loaded for engine libxdp here: ", reason());
  return *libxdp;
}

LoadOutcome Engines::load(Loads& loads, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope) {
  ChainEngine& engine = wanted(wish.engine);
  wish.extension = engine.extension();
  bool extends = wish.extension != nullptr && wish.engine.empty() &&
                 std::ranges::any_of(wish.programs, [](auto& program) { return program.kernelType == BPF_PROG_TYPE_XDP; });
  LoadOutcome outcome = loads.load(wish, object.fd(), object.size(), cancellation, scope);
  if (!extends || outcome.refused == nullptr) return outcome;
  std::string reason = KJ_ASSERT_NONNULL(outcome.refused).reason;
  wish.extension = nullptr;
  LoadOutcome alone = loads.load(wish, object.fd(), object.size(), cancellation, scope);
  if (alone.refused == nullptr) spdlog::info("{}: engine tailcall, not {}: {}", wish.sourcePath, engine.name().cStr(), reason);
  return alone;
}

kj::String Engines::reason() {
  switch (configured) {
    case wire::WantedEngine::tailcall: return kj::str("the configuration says so");
    case wire::WantedEngine::libxdp: return kj::str("the configuration says so; ", libxdp->reason());
    default: return kj::str(libxdp->reason());
  }
}

}  // namespace bpfman
