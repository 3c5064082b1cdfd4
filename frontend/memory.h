// Kernel memory of what users have loaded: counted from what the kernel says of each object, shown, and bounded by the policy.
#pragma once

#include <linux/bpf.h>

#include <map>

#include "frontend/connection.h"

namespace bpfman {

struct MemoryUse {
  uint32_t programs = 0, maps = 0;
  uint64_t bytes = 0;
};

uint64_t memoryOf(const bpf_prog_info& info);                // its pages, as the kernel counts them
uint64_t memoryOf(const bpf_map_info& info, uint32_t cpus);  // bytes of all its elements, whether they are there yet or not

std::map<uint32_t, MemoryUse> memoryByUser(Core& core, kj::WaitScope& scope, uint32_t without = 0);
// By the uid that they were loaded for; bpfman's own, and the load `without`, left out. A map that several loads share counts for the
// oldest.

void requireWithinMemory(Connection& connection, uint32_t load, TypeSet types, kj::WaitScope& scope, uint32_t without = 0);
// After a load of these types, which is undone when its owner has too much now: so two loads at once can't both have what is left. without:
// a load whose place it takes.

}  // namespace bpfman
