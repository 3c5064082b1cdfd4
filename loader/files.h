// The few files that libbpf may think it opens. There is no file system: everything else does not exist.
#pragma once

#include <cstdio>
#include <string>

namespace bpfman {

constexpr const char* OTHER_TYPES = "other kernel's types";  // as libbpf names the file

class Files {
 public:
  Files(int kernelBtf, std::string possibleCpus, int otherTypes = -1)
      : kernelBtf(kernelBtf), otherTypes(otherTypes), possibleCpus(std::move(possibleCpus)) {}

  FILE* openStream(const char* path) const;  // or null and errno
  int open(const char* path) const;          // or -1 and errno
  int access(const char* path) const;

 private:
  int btfAt(const char* path) const;

  int kernelBtf;             // /sys/kernel/btf/vmlinux, opened by the broker; -1: this kernel has none
  int otherTypes;            // OTHER_TYPES, a client's; -1: there are none
  std::string possibleCpus;  // "0-7": how many buffers a perf event array has
};

std::string readPossibleCpus();  // from sysfs: call it before the file system is out of reach

}  // namespace bpfman
