#include "frontend/elements.h"

#include <algorithm>

#include <kj/debug.h>

#include "frontend/kernel-names.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

extern "C" const unsigned char bpfman_elements[], bpfman_elements_end[];

namespace bpfman {

namespace {

constexpr const char* PURPOSE = "elements:";
constexpr uint64_t KERNELS_BUFFER = 32 << 10;  // bytes; an element that does not fit below it can't be read from an iterator

kj::ArrayPtr<const kj::byte> object() { return kj::arrayPtr(bpfman_elements, bpfman_elements_end - bpfman_elements); }

// As the iterator gives it; the types are those that bpf_iter_attach_map() of the kernel takes.
uint64_t valueSizeOf(const bpf_map_info& info, uint32_t possibleCpus) {
  switch (info.type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_ARRAY: return info.value_size;
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY: return (info.value_size + 7ull) / 8 * 8 * possibleCpus;
    default:
      refuse("the kernel has no iterator over the elements of a map of type ", mapTypeName(info.type),
             "; it has for hashes and arrays, LRU and per-CPU ones too");
  }
}

bool isOne(const LoadRow& row) { return row.own && row.state == LoadRow::loaded && row.purpose.rfind(PURPOSE, 0) == 0; }

std::string bytesOf(uint32_t number) { return std::string(reinterpret_cast<const char*>(&number), sizeof number); }

}  // namespace

kj::AutoCloseFd ElementIterators::open(const wire::Pin& map, const bpf_map_info& info, kj::WaitScope& scope) {
  uint64_t valueSize = valueSizeOf(info, possibleCpus);
  if (info.key_size + valueSize >= KERNELS_BUFFER)
    refuse("an element of this map has ", info.key_size + valueSize, " bytes: an iterator gives those below ", KERNELS_BUFFER,
           "; ask for the map's descriptor");
  auto turn = turns.take("elements", scope);
  uint32_t load = loadFor(info.key_size, valueSize, scope);
  lastUse[load] = ++uses;
  auto place = workers.host(scope);
  auto reply = place->worker.call(wire::Op::openIterator, wire::OpenIterator{loadedProgram(load, 0), map}).wait(scope);
  requireOk(reply, "iterate over the map's elements");
  return kj::mv(KJ_REQUIRE_NONNULL(reply.descriptor));
}

uint32_t ElementIterators::loadFor(uint32_t keySize, uint32_t valueSize, kj::WaitScope& scope) {
  LoadWish wish;
  wish.purpose = purposeOf(kj::str(PURPOSE, keySize, ':', valueSize), object());
  for (auto& [id, row] : catalog.loads())
    if (isOne(row) && row.purpose == wish.purpose) return id;
  makeRoom(scope);
  wish.maxMapBytes = 4096;
  wish.globals = {{"key_size", bytesOf(keySize)}, {"value_size", bytesOf(valueSize)}};
  wish.programs.push_back({0, "dump_elements", "bpf_map_elem", "iter", BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER});
  LoadOutcome outcome = loads.loadOwn(wish, object(), scope);
  KJ_IF_MAYBE (refused, outcome.refused)
    refuse("this kernel refuses the iterator over a map's elements: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());
  return outcome.load;
}

// Those of an earlier version of the object are among them, and were never used since: they go first.
void ElementIterators::makeRoom(kj::WaitScope& scope) {
  std::vector<uint32_t> kept;
  for (auto& [id, row] : catalog.loads())
    if (isOne(row)) kept.push_back(id);
  if (kept.size() < limits::ELEMENT_ITERATORS) return;
  auto use = [&](uint32_t load) { return lastUse.count(load) ? lastUse[load] : 0; };
  uint32_t longestUnused = *std::ranges::min_element(kept, {}, use);
  lastUse.erase(longestUnused);
  loads.undo(longestUnused, scope);
}

}  // namespace bpfman
