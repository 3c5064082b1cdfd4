// The objects of persistent programs, in the state directory, which outlives a reboot: persistent/LOAD.o. RUNTIME_DIR/programs, where every
// load has a copy for people to look at, does not.
#pragma once

#include <cstdint>
#include <set>

#include "frontend/intake.h"

namespace bpfman {

class KeptBytecode {  // in the working directory
 public:
  static void keep(uint32_t load, int object, uint64_t size);  // it is on the disk when this returns, whole; or an exception says why not
  static SealedObject read(uint32_t load);
  static uint64_t bytes(uint32_t load);  // 0: there is none
  static void remove(uint32_t load);
  static void removeOthers(const std::set<uint32_t>& loads);  // what a death left behind
};

SealedObject sealedCopyOf(kj::AutoCloseFd file);  // an object of ours, as a loader takes it

}  // namespace bpfman
