// libbpf asks the kernel what it can by making small objects. None of that is the session's business, nor in its grant: the oldest kernel
// that bpfman runs on (6.1) can nearly all of it, and the release says the rest.
#pragma once

#include <string_view>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

namespace bpfman {

class Probes {
 public:
  Probes(const bpf_object* object, std::string_view kernelRelease);

  bool isProgram(const bpf_attr& attr) const;  // else it is one of the object's
  bool isMap(const bpf_attr& attr) const;
  bool isBtf(const bpf_attr& attr) const;
  bool programLoads(const bpf_attr& attr) const;

 private:
  const bpf_object* object;
  unsigned version;  // major << 16 | minor
};

unsigned versionOf(std::string_view release);  // "6.12.3-amd64" -> 6 << 16 | 12; 0 for what is no release

}  // namespace bpfman
