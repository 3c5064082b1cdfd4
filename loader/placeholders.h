// What libbpf holds instead of kernel objects: empty memfds. libbpf duplicates descriptors over each other, so an object is found again
// by its memfd's inode.
#pragma once

#include <map>

#include <sys/types.h>

#include <kj/io.h>

#include "schema/worker.h"

namespace bpfman {

struct Placeholder {
  enum class Kind { map, program, btf, module, probe };  // probe: stands for something that a feature probe believes to have made
  Kind kind = Kind::probe;
  uint32_t handle = wire::NO_HANDLE;  // of a module: its number
  uint32_t mapType = 0, keySize = 0, valueSize = 0;
  bool reused = false;          // another load's map: never initialised or frozen again
  uint32_t structOpsValue = 0;  // its type, in the kernel's BTF
};

class Placeholders {
 public:
  int make(const Placeholder& object);  // -> a descriptor of libbpf's, or -1 and errno
  int makeProbe();                      // the same one for all: libbpf makes a dozen, and only wants to close them
  const Placeholder* find(int fd) const;

 private:
  kj::AutoCloseFd probe;
  std::map<ino_t, Placeholder> byInode;
};

}  // namespace bpfman
