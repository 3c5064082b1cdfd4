#include "frontend/system-view.h"

#include <linux/bpf.h>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/kernel-names.h"
#include "frontend/reconcile.h"
#include "frontend/refuse.h"

extern "C" const unsigned char bpfman_overview[], bpfman_overview_end[];

namespace bpfman {

namespace {

struct Iterator {
  kj::StringPtr pin, program, over;
};
constexpr const char* PURPOSE = "iterators";
const Iterator ITERATORS[] = {{"programs", "dump_programs", "bpf_prog"},
                              {"maps", "dump_maps", "bpf_map"},
                              {"links", "dump_links", "bpf_link"},
                              {"dispatchers", "dump_dispatchers", "bpf_prog"}};

kj::ArrayPtr<const kj::byte> object() { return kj::arrayPtr(bpfman_overview, bpfman_overview_end - bpfman_overview); }

std::string purpose() { return purposeOf(PURPOSE, object()); }

}  // namespace

bool SystemView::installed(kj::WaitScope& scope) {
  bool known = false;
  for (auto& [id, row] : core.catalog.loads()) known |= row.own && row.state == LoadRow::loaded && row.purpose == purpose();
  if (!known) return false;
  auto place = core.workers.host(scope);
  for (auto& iterator : ITERATORS)
    if (place->worker.call(wire::Op::inspect, pinAt(wire::Dir::iterators, 0, 0, 0, iterator.pin)).wait(scope).result < 0) return false;
  return true;
}

void SystemView::install(kj::WaitScope& scope) {
  if (installed(scope)) return;
  std::vector<uint32_t> old;
  for (auto& [id, row] : core.catalog.loads())
    if (row.own && kj::StringPtr(row.purpose.c_str()).startsWith(PURPOSE)) old.push_back(id);
  auto place = core.workers.host(scope);
  for (auto& iterator : ITERATORS) place->worker.call(wire::Op::remove, pinAt(wire::Dir::iterators, 0, 0, 0, iterator.pin)).wait(scope);
  for (uint32_t load : old) core.loads.undo(load, scope);

  LoadWish wish;
  wish.purpose = purpose();
  wish.maxMapBytes = 16 << 20;
  for (auto& iterator : ITERATORS)
    wish.programs.push_back({0, iterator.program.cStr(), iterator.over.cStr(), "iter", BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER});
  LoadOutcome outcome = core.loads.loadOwn(wish, object(), scope);
  KJ_IF_MAYBE (refused, outcome.refused)
    refuse("this kernel refuses the iterators of the overview: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());
  for (uint32_t i = 0; i < std::size(ITERATORS); ++i) {
    wire::CreateLink link{};
    link.program = loadedProgram(outcome.load, i);
    link.to = pinAt(wire::Dir::iterators, 0, 0, 0, ITERATORS[i].pin);
    link.kind = wire::LinkKind::iterator;
    link.attachType = BPF_TRACE_ITER;
    requireOk(place->worker.call(wire::Op::createLink, link).wait(scope), "pin an iterator");
  }
  // Which layout the pins have, for a later version; the marker is a second name of the iterators' map.
  auto marker =
      place->worker.call(wire::Op::publish, wire::Publish{loadedMap(outcome.load, 0), pinAt(wire::Dir::version, PIN_VERSION)}).wait(scope);
  if (marker.result != -EEXIST) requireOk(marker, "mark the version of the pins");
}

std::vector<std::byte> SystemView::read(kj::StringPtr iterator, kj::WaitScope& scope) {
  auto place = core.workers.host(scope);
  auto reply =
      place->worker.call(wire::Op::openIterator, wire::OpenIterator{pinAt(wire::Dir::iterators, 0, 0, 0, iterator), {}}).wait(scope);
  requireOk(reply, "open the overview's iterator");
  return readAll(KJ_REQUIRE_NONNULL(reply.descriptor));
}

std::vector<KernelProgram> SystemView::programs(kj::WaitScope& scope) { return decodePrograms(read("programs", scope)); }
std::vector<KernelMap> SystemView::maps(kj::WaitScope& scope) { return decodeMaps(read("maps", scope)); }
std::vector<KernelLink> SystemView::links(kj::WaitScope& scope) { return decodeLinks(read("links", scope)); }
Moment SystemView::moment() const { return {bootTime(), statisticsEnabled(wire::fd::frontend::statsEnabled)}; }

}  // namespace bpfman
