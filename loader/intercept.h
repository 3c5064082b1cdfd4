// While one exists, what libbpf (and the libraries below it) ask of the system goes to a Proxy and Files: bpf(2), opening, looking for
// files. The linker leads the calls here: --wrap, in CMakeLists.txt. One at a time: C code has no other way to find it.
#pragma once

namespace bpfman {

class Proxy;
class Files;

class Interception {
 public:
  Interception(Proxy& proxy, const Files& files);
  ~Interception();
  Interception(const Interception&) = delete;
  Interception& operator=(const Interception&) = delete;
};

}  // namespace bpfman
