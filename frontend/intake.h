// What a client hands over. Any descriptor of a client may belong to a file system that never answers, so the first call on it is one
// that cannot block: F_GET_SEALS, F_GETFL, or statx of what the kernel has in memory. What is not what was asked for is never read,
// stat-ed or closed here: the closer gets it. Closing a descriptor that was opened with O_PATH asks no file system, so cgroups and
// binaries are passed that way.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <kj/async.h>
#include <kj/common.h>
#include <kj/io.h>
#include <kj/string.h>

#include "frontend/closer.h"
#include "frontend/contexts.h"

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

struct CgroupTarget {
  kj::AutoCloseFd directory;
  std::string path;  // below the root of cgroup2, "/" the root itself; "": it is not beneath ours
  uint64_t id;
  uid_t owner;
};

struct BinaryTarget {
  kj::AutoCloseFd file;
  uid_t owner;
};

class ProcessTarget {
 public:
  ProcessTarget(kj::AutoCloseFd pidfd, pid_t pid, uid_t owner) : pidfd(kj::mv(pidfd)), number(pid), owner(owner) {}
  pid_t pid() const { return number; }
  bool ownedBy(uid_t uid) const { return uid != 0 && owner == uid; }
  bool alive() const;  // so that its number was not another's up to now

 private:
  kj::AutoCloseFd pidfd;
  pid_t number;
  uid_t owner;
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

// What a descriptor is, as the kernel calls it, which alone is asked: "anon_inode:bpf-prog". The text of a file begins with a slash.
std::string linkText(int descriptor);

class Intake {
  Closer aside;

 public:
  explicit Intake(int cgroupRoot = -1);  // looks at our own namespace: before the sandbox

  SealedObject object(kj::AutoCloseFd descriptor);
  NamespaceTarget networkNamespace(kj::AutoCloseFd descriptor);
  // intake-targets.c++
  CgroupTarget cgroup(kj::AutoCloseFd descriptor) const;
  kj::AutoCloseFd cgroupAt(kj::StringPtr path) const;  // CgroupTarget::path of one that it was before
  BinaryTarget binary(kj::AutoCloseFd descriptor) const;
  ProcessTarget process(kj::AutoCloseFd pidfd) const;
  kj::AutoCloseFd program(kj::AutoCloseFd descriptor);         // of the kernel's bpf, of whatever type
  kj::Promise<void> requireLocal(const BinaryTarget& binary);  // on a file system that nobody serves, who could keep the kernel waiting

  bool harmless(int descriptor) const;  // a memfd, a namespace, a pidfd, a program or opened with O_PATH: closing it does not block
  Closer& closer() { return aside; }
  Contexts contexts{aside};

 private:
  uint64_t nsfs;                    // the device number of the file system that all namespaces are on
  uint64_t cgroup2 = 0, pidfs = 0;  // the device numbers of theirs; 0: none
  int cgroupRoot;
  std::shared_ptr<std::atomic<unsigned>> asking = std::make_shared<std::atomic<unsigned>>(0);  // threads of requireLocal

  kj::Maybe<uint64_t> namespaceInode(int descriptor) const;
  bool isPidfd(int descriptor) const;
  static bool isProgram(int descriptor);
};

}  // namespace bpfman
