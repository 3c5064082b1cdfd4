// Iterators over the elements of one map: a descriptor from which a client reads raw keys and values, and with which he can't write. A
// program of bpfman's own runs in it (bpf/elements.bpf.c). One is loaded for each pair of sizes that was asked for, and kept.
#pragma once

#include <linux/bpf.h>

#include "frontend/load.h"

namespace bpfman {

class ElementIterators {
 public:
  ElementIterators(Loads& loads, Catalog& catalog, Workers& workers, uint32_t possibleCpus)
      : loads(loads), catalog(catalog), workers(workers), possibleCpus(possibleCpus) {}

  kj::AutoCloseFd open(const wire::Pin& map, const bpf_map_info& info, kj::WaitScope& scope);
  // At the first element. Refuses a map that the kernel has no iterator for.

 private:
  Loads& loads;
  Catalog& catalog;
  Workers& workers;
  uint32_t possibleCpus;
  Locks turns;                           // so that no pair of sizes is loaded twice, and none is unloaded between its load and its use
  std::map<uint32_t, uint64_t> lastUse;  // load -> which use of all it was; of one before the frontend's start: none
  uint64_t uses = 0;

  uint32_t loadFor(uint32_t keySize, uint32_t valueSize, kj::WaitScope& scope);
  void makeRoom(kj::WaitScope& scope);
};

}  // namespace bpfman
