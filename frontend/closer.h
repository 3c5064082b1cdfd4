// Closes descriptors whose file system may never answer (a FUSE file's close waits for its server), away from the event loop. Each
// waits in a thread of its own that ends afterwards; CLOSERS of them at once, the rest of the descriptors queue.
#pragma once

#include <cstddef>
#include <memory>

#include <kj/common.h>
#include <kj/io.h>

namespace bpfman {

class Closer {
 public:
  Closer();
  ~Closer();  // waits for nobody: what hangs, hangs on until the process ends
  KJ_DISALLOW_COPY(Closer);

  void close(kj::AutoCloseFd descriptor);
  size_t waiting() const;  // handed over and not closed yet: grows only if a client wants it to

 private:
  struct Shared;
  std::shared_ptr<Shared> shared;  // outlives us in threads that hang
};

}  // namespace bpfman
