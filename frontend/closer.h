// Closes descriptors whose file system may never answer (a FUSE file's close waits for its server), away from the event loop. Each
// waits in a thread of its own that ends afterwards; CLOSERS of them at once, the rest of the descriptors queue. Who handed them over is
// charged, as each takes one of our descriptors until it is closed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <kj/common.h>
#include <kj/io.h>

namespace bpfman {

class Closer {
 public:
  Closer();
  ~Closer();  // waits for nobody: what hangs, hangs on until the process ends
  KJ_DISALLOW_COPY(Closer);

  static constexpr uint32_t NOBODY = ~0u;

  void close(kj::AutoCloseFd descriptor, uint32_t uid = NOBODY);
  size_t waiting() const;              // handed over and not closed yet: grows only if a client wants it to
  size_t waiting(uint32_t uid) const;  // of one user

 private:
  struct Shared;
  std::shared_ptr<Shared> shared;  // outlives us in threads that hang
};

}  // namespace bpfman
