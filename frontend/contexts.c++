#include "frontend/contexts.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <kj/debug.h>

#include "frontend/intake.h"
#include "frontend/refuse.h"

namespace bpfman {

bool Contexts::isContext(int descriptor) { return linkText(descriptor) == "anon_inode:[fscontext]"; }

// An eventfd, which a client could not pass: it would not get past the guard. What it counts is the context's number, until it is read.
Contexts::Kept Contexts::keep(kj::AutoCloseFd context, uint32_t uid) {
  int standIn;
  KJ_SYSCALL(standIn = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Kept one{++last, kj::AutoCloseFd(standIn)};
  ssize_t written;
  KJ_SYSCALL(written = write(standIn, &one.number, sizeof one.number));
  kept.emplace(one.number, FileSystemContext(kj::mv(context), uid, closer));
  return one;
}

FileSystemContext Contexts::take(int standIn) {
  uint64_t number = 0;
  pollfd waiting{standIn, POLLIN, 0};  // one that stands for nothing counts nothing
  bool ours = linkText(standIn) == "anon_inode:[eventfd]" && poll(&waiting, 1, 0) == 1;
  auto found = ours && read(standIn, &number, sizeof number) == sizeof number ? kept.find(number) : kept.end();
  if (found == kept.end()) refuse("the descriptor is not a file system's context, or was used already: pass what fsopen(\"bpf\") gave");
  FileSystemContext context = kj::mv(found->second);
  kept.erase(found);
  return context;
}

}  // namespace bpfman
