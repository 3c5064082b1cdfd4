// The seam to the kernel: everything that the worker does with its privilege goes through here. RealBpf does it; the tests' recording
// one notes it down, and fails or dies where a test wants it to.
#pragma once

#include "worker/fd.h"

#include <linux/bpf.h>
#include <cstdint>
#include <string>
#include <vector>

namespace bpfman {

class Bpf {
 public:
  virtual ~Bpf() = default;

  // bpf(2): >= 0 or -errno; a descriptor belongs to the caller. size: more when a struct that begins with attr is newer than our headers.
  virtual long call(int command, bpf_attr& attr, uint32_t size = sizeof(bpf_attr)) = 0;

  virtual int route(const void* message, uint32_t size) = 0;  // rtnetlink, in our own network namespace: 0 or -errno, as the kernel answers

  // Files of the bpffs that is our root directory. 0 or -errno.
  virtual int makeDirectory(const char* path) = 0;
  virtual int removeDirectory(const char* path) = 0;
  virtual int unlink(const char* path) = 0;
  virtual int renameNew(const char* from, const char* to) = 0;  // never replaces
  virtual int list(const char* path, std::vector<std::string>& names) = 0;

  // What several handlers need, made of the above.
  Fd open(const char* path, uint32_t fileFlags = 0);
  int pin(const Fd& object, const char* path);
  int info(const Fd& object, void* info, uint32_t size);  // zeroes what the kernel does not fill in
};

class RealBpf final : public Bpf {
 public:
  long call(int command, bpf_attr& attr, uint32_t size) override;
  int route(const void* message, uint32_t size) override;
  int makeDirectory(const char* path) override;
  int removeDirectory(const char* path) override;
  int unlink(const char* path) override;
  int renameNew(const char* from, const char* to) override;
  int list(const char* path, std::vector<std::string>& names) override;
};

inline uint64_t toKernel(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

}  // namespace bpfman
