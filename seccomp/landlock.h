// Which files a process may still reach, at the end of its start. As seccomp/confine.h: no kj, no exceptions, succeeds or ends the process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bpfman {

struct FileRule {
  int directoryFd;  // O_PATH is enough
  uint64_t access;  // LANDLOCK_ACCESS_FS_*; what this kernel does not know is left out
};

void restrictFiles(const FileRule* rules, size_t count);  // Landlock: all other files, TCP, foreign signals. Nothing on a kernel without

}  // namespace bpfman
