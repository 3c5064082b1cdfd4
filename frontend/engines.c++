#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/engine.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr kj::StringPtr BY_CONFIGURATION = "the configuration says so"_kj;

bool has(const LoadWish& wish, const char* family) { return std::ranges::count(wish.programs, family, &WantedProgram::family) != 0; }

}  // namespace

// `auto` decides for XDP once, by trying. A host whose configuration names an engine serves no other: who relies on it must not get
// another by chance. The TC engine that few need is tried when the first one asks for it.
void Engines::start(kj::WaitScope& scope) {
  if (configured.xdp != wire::WantedEngine::tailcall) preferLibxdp = libxdp->start(scope);
  if (configured.xdp == wire::WantedEngine::extensions && !preferLibxdp)
    refuse("engine libxdp, which the configuration wants, can't be used: ", libxdp->reason(), "; set xdp.engine = \"auto\"");
  if (configured.tc == wire::WantedEngine::extensions && !freplaceStarts(scope))
    refuse("engine freplace, which the configuration wants, can't be used: ", freplace->reason(), "; set tc.engine = \"auto\"");
  tailcall->start(scope);
  spdlog::info("XDP engine {}: {}", preferred(true).name().cStr(), reason(true).cStr());
  spdlog::info("TC engine {}: {}", preferred(false).name().cStr(), reason(false).cStr());
}

void Engines::recover(kj::WaitScope& scope) {
  libxdp->recover(scope);
  freplace->recover(scope);
  tailcall->recover(scope);
}

bool Engines::freplaceStarts(kj::WaitScope& scope) {
  auto turn = starting.take(freplace->name().cStr(), scope);
  return freplace->extension() != nullptr || freplace->start(scope);
}

ChainEngine& Engines::preferred(bool xdp) {
  if (xdp) return preferLibxdp ? *libxdp : *tailcall;
  return configured.tc == wire::WantedEngine::extensions ? *freplace : *tailcall;
}

// One object's programs are extensions of one dispatcher: where it has XDP programs that are, its TC programs run by themselves.
ChainEngine& Engines::wanted(const LoadWish& wish, kj::WaitScope& scope) {
  auto& name = wish.engine;
  if (name.empty() || name == "auto") {
    if (has(wish, "xdp") && preferLibxdp && !wish.tcExtension) return *libxdp;
    if (!has(wish, "tc") || configured.tc == wire::WantedEngine::tailcall) return *tailcall;
    bool asked = wish.tcExtension || configured.tc == wire::WantedEngine::extensions;
    return asked && freplaceStarts(scope) ? *freplace : *tailcall;
  }
  if (name == tailcall->name().cStr()) return *tailcall;
  if (name == libxdp->name().cStr()) {
    if (!has(wish, "xdp")) refuse("--engine libxdp: it is for xdp programs only");
    if (!preferLibxdp) refuse("no program can be loaded for engine libxdp here: ", reason(true));
    return *libxdp;
  }
  if (name != freplace->name().cStr()) refuse("engine \"", name.c_str(), "\": expected auto, libxdp, freplace or tailcall");
  if (!has(wish, "tc")) refuse("--engine freplace: it is for tc programs only");
  if (configured.tc == wire::WantedEngine::tailcall) refuse("no program can be loaded for engine freplace here: ", BY_CONFIGURATION);
  if (!freplaceStarts(scope)) refuse("no program can be loaded for engine freplace here: ", freplace->reason());
  return *freplace;
}

LoadOutcome Engines::load(Loads& loads, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope) {
  ChainEngine& engine = wanted(wish, scope);
  wish.extension = engine.extension();
  LoadOutcome outcome = loads.load(wish, object.fd(), object.size(), cancellation, scope);
  if (wish.extension == nullptr || !wish.engine.empty() || outcome.refused == nullptr) return outcome;
  std::string reason = KJ_ASSERT_NONNULL(outcome.refused).reason;
  wish.extension = nullptr;
  LoadOutcome alone = loads.load(wish, object.fd(), object.size(), cancellation, scope);
  if (alone.refused == nullptr) spdlog::info("{}: engine tailcall, not {}: {}", wish.sourcePath, engine.name().cStr(), reason);
  return alone;
}

kj::Maybe<Extension> Engines::extensionLike(const ProgramRow& program, kj::WaitScope& scope) {
  if (!program.extension) return nullptr;
  ChainEngine& engine = of(program);
  if (&engine == freplace.get() && !freplaceStarts(scope)) refuse("engine freplace can't be used any more: ", freplace->reason());
  return engine.extension();
}

kj::String Engines::reason(bool xdp) {
  auto wanted = xdp ? configured.xdp : configured.tc;
  auto& extending = xdp ? *libxdp : *freplace;
  if (wanted == wire::WantedEngine::tailcall) return kj::str(BY_CONFIGURATION);
  if (wanted == wire::WantedEngine::extensions) return kj::str(BY_CONFIGURATION, "; ", extending.reason());
  if (xdp) return kj::str(extending.reason());
  return kj::str("it takes more programs than freplace, counts, and keeps the time of changes that wait to be confirmed");
}

}  // namespace bpfman
