// What a client hands over. Any descriptor of a client may belong to a file system that never answers, so the first call on it is one
// that cannot block: F_GET_SEALS, or statx of what the kernel has in memory. What is not what was asked for is never read,
// stat-ed or closed here: the closer gets it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include <kj/common.h>
#include <kj/io.h>
#include <kj/string.h>

#include "frontend/closer.h"

namespace bpfman {

class SealedObject {  // a memfd that nobody can change any more, 1 byte .. 16 MiB
 public:
  SealedObject(kj::AutoCloseFd descriptor, uint64_t size) : owned(kj::mv(descriptor)), bytes(size) {}
  int fd() const { return owned.get(); }
  uint64_t size() const { return bytes; }

 private:
  kj::AutoCloseFd owned;
  uint64_t bytes;
};

class NamespaceTarget {  // a network namespace
 public:
  NamespaceTarget(kj::AutoCloseFd descriptor, uint64_t inode) : owned(kj::mv(descriptor)), inode(inode) {}
  int fd() const { return owned.get(); }
  uint64_t nsid() const { return inode; }
  bool ownedBy(uid_t uid) const;  // its user namespace was made by uid. Never true for root's: those are nobody's own

 private:
  kj::AutoCloseFd owned;
  uint64_t inode;
};

class Upload {  // bytecode that comes as a stream
 public:
  explicit Upload(uint64_t size);                  // announced: 1 byte .. 16 MiB
  void write(kj::ArrayPtr<const kj::byte> bytes);  // refuses one more than announced
  SealedObject finish();                           // once; all must have come

 private:
  kj::AutoCloseFd memfd;
  uint64_t announced, received = 0;
};

class Intake {
 public:
  Intake();  // looks at our own namespace: before the sandbox

  SealedObject object(kj::AutoCloseFd descriptor);
  NamespaceTarget networkNamespace(kj::AutoCloseFd descriptor);
  bool harmless(int descriptor) const;  // a memfd or a namespace: no call on it blocks, closing it neither
  Closer& closer() { return aside; }

 private:
  uint64_t nsfs;  // the device number of the file system that all namespaces are on
  Closer aside;

  kj::Maybe<uint64_t> namespaceInode(int descriptor) const;
};

}  // namespace bpfman
