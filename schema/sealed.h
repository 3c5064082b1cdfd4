// Memory files that are handed over: their content and size can't change any more.
#pragma once

#include <fcntl.h>

#include <cerrno>

#include <kj/debug.h>

namespace bpfman::wire {

constexpr int SEALED = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

// The kernel waits 150 ms for whoever holds a page of it, such as its own reclaim, and then gives up: busy machines need more.
inline void seal(int memfd) {
  for (int tries = 20; fcntl(memfd, F_ADD_SEALS, SEALED) != 0; --tries)
    if (errno != EBUSY || tries == 0) KJ_FAIL_SYSCALL("fcntl(F_ADD_SEALS)", errno);
}

}  // namespace bpfman::wire
