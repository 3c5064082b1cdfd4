// File systems' contexts (fsopen) that clients pass. Closing one may wait for its file system, as what was prepared in it ends then; so the
// RPC gets a stand-in, by which the context is found here, and only the closer closes it.
#pragma once

#include <cstdint>
#include <map>

#include <kj/io.h>

#include "frontend/closer.h"

namespace bpfman {

class FileSystemContext {  // of whatever file system
 public:
  FileSystemContext(kj::AutoCloseFd descriptor, uint32_t uid, Closer& closer) : descriptor(kj::mv(descriptor)), uid(uid), closer(closer) {}
  FileSystemContext(FileSystemContext&&) = default;
  ~FileSystemContext() noexcept(false) {
    if (descriptor.get() >= 0) closer.close(kj::mv(descriptor), uid);
  }
  int fd() const { return descriptor.get(); }

 private:
  kj::AutoCloseFd descriptor;
  uint32_t uid;
  Closer& closer;
};

class Contexts {
 public:
  explicit Contexts(Closer& closer) : closer(closer) {}

  static bool isContext(int descriptor);
  static constexpr size_t PASSED = 4;  // by one connection, and not taken

  struct Kept {
    uint64_t number;
    kj::AutoCloseFd standIn;
  };
  Kept keep(kj::AutoCloseFd context, uint32_t uid);
  FileSystemContext take(int standIn);  // once; refuses what stands in for none
  void drop(uint64_t number) { kept.erase(number); }

 private:
  Closer& closer;
  uint64_t last = 0;
  std::map<uint64_t, FileSystemContext> kept;
};

}  // namespace bpfman
