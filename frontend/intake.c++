#include "frontend/intake.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>

#include <kj/debug.h>

#include "frontend/limits.h"
#include "frontend/refuse.h"
#include "schema/sealed.h"

namespace bpfman {
namespace {

void requireSize(uint64_t size) {
  if (size == 0) refuse("the bytecode is empty");
  if (size > limits::OBJECT_BYTES) {
    refuse("the bytecode has ", size, " bytes; ", limits::OBJECT_BYTES, " are allowed: strip debug sections that libbpf does not need");
  }
}

}  // namespace

bool NamespaceTarget::ownedBy(uid_t uid) const {
  if (uid == 0) return false;
  int result = ioctl(owned, NS_GET_USERNS);
  if (result < 0) return false;
  kj::AutoCloseFd userNamespace(result);
  uid_t owner;
  return ioctl(userNamespace, NS_GET_OWNER_UID, &owner) == 0 && owner == uid;
}

Upload::Upload(uint64_t size) : announced(size) {
  requireSize(size);
  int result;
  KJ_SYSCALL(result = memfd_create("bpfman-upload", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  memfd = kj::AutoCloseFd(result);
}

void Upload::write(kj::ArrayPtr<const kj::byte> bytes) {
  if (bytes.size() > announced - received) {
    refuse("more bytes were uploaded than the ", announced, " that were announced: begin anew with the right size");
  }
  while (bytes.size() > 0) {
    ssize_t written;
    KJ_SYSCALL(written = pwrite(memfd, bytes.begin(), bytes.size(), received));
    received += written;
    bytes = bytes.slice(written, bytes.size());
  }
}

SealedObject Upload::finish() {
  if (memfd.get() < 0) refuse("the upload was finished already");
  if (received != announced) refuse("only ", received, " of the ", announced, " announced bytes were uploaded");
  wire::seal(memfd);
  return SealedObject(kj::mv(memfd), announced);
}

Intake::Intake(int cgroupRoot) : cgroupRoot(cgroupRoot) {
  struct stat status;
  KJ_SYSCALL(stat("/proc/self/ns/net", &status));
  nsfs = status.st_dev;
  if (fstat(cgroupRoot, &status) == 0 && S_ISDIR(status.st_mode)) cgroup2 = status.st_dev;
  kj::AutoCloseFd self(syscall(SYS_pidfd_open, getpid(), 0)), other(eventfd(0, EFD_CLOEXEC));
  struct stat anonymous;
  KJ_SYSCALL(fstat(other, &anonymous));
  if (fstat(self, &status) == 0 && status.st_dev != anonymous.st_dev) pidfs = status.st_dev;  // before 6.9 they were like any other
}

// A file that has seals is in memory: nobody has to answer for it. tmpfs files answer too, but can't be sealed against writing.
SealedObject Intake::object(kj::AutoCloseFd descriptor) {
  int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) {
    aside.close(kj::mv(descriptor));
    refuse(
        "the bytecode's descriptor is not a memfd: copy the object into one (memfd_create with MFD_ALLOW_SEALING), seal it and pass that");
  }
  if ((seals & wire::SEALED) != wire::SEALED) {
    refuse("the bytecode's memfd is not sealed: add F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK and F_SEAL_SEAL before passing it");
  }
  struct stat status;
  KJ_SYSCALL(fstat(descriptor, &status));
  requireSize(status.st_size);
  return SealedObject(kj::mv(descriptor), status.st_size);
}

NamespaceTarget Intake::networkNamespace(kj::AutoCloseFd descriptor) {
  KJ_IF_MAYBE (inode, namespaceInode(descriptor)) {
    if (ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET) return NamespaceTarget(kj::mv(descriptor), *inode);
  } else {
    aside.close(kj::mv(descriptor));
  }
  refuse("the descriptor is not a network namespace: open the namespace's file, such as /run/netns/NAME or /proc/PID/ns/net");
}

bool Intake::harmless(int descriptor) const {
  if (fcntl(descriptor, F_GET_SEALS) >= 0 || namespaceInode(descriptor) != nullptr) return true;
  int flags = fcntl(descriptor, F_GETFL);
  return (flags >= 0 && flags & O_PATH) || isPidfd(descriptor) || isProgram(descriptor);
}

// Asks for nothing that is not in memory, so no file system has to answer. The link's text in /proc would not do: of a namespace that
// is bind-mounted, as those in /run/netns are, it is the path of the mount.
kj::Maybe<uint64_t> Intake::namespaceInode(int descriptor) const {
  struct statx status;
  if (statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &status) < 0) return nullptr;
  if (makedev(status.stx_dev_major, status.stx_dev_minor) != nsfs) return nullptr;
  return status.stx_ino;
}

}  // namespace bpfman
