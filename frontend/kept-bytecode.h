// The objects of persistent programs, in the state directory, which outlives a reboot: persistent/LOAD.o, and LOAD.btf where they are
// fitted to the types of another kernel. RUNTIME_DIR/programs, where every load has a copy for people to look at, does not.
#pragma once

#include <cstdint>
#include <set>

#include "frontend/intake.h"

namespace bpfman {

class KeptBytecode {  // in the working directory
 public:
  enum What { object, types };
  static void keep(uint32_t load, What what, int file, uint64_t size);
  // It is on the disk when this returns, whole; or an exception says why not.
  static SealedObject read(uint32_t load, What what);
  static uint64_t bytes(uint32_t load);  // of both; 0: there is none
  static void remove(uint32_t load);
  static void removeOthers(const std::set<uint32_t>& loads);  // what a death left behind
};

SealedObject sealedCopyOf(kj::AutoCloseFd file);  // an object of ours, as a loader takes it

}  // namespace bpfman
