// The same work without bpfman: libbpf in this process, which is root.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <span>

#include "bench/remote.h"

namespace bpfman::bench {

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
struct DestroyLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

class Direct {
 public:
  explicit Direct(std::span<const unsigned char> object);  // loaded; unloaded by its destructor
  explicit Direct(const Object& object) : Direct(std::span(object.bytes.begin(), object.bytes.size())) {}

  std::unique_ptr<bpf_link, DestroyLink> attachTcx(uint32_t interface);
  int program() const;  // descriptor of the first one
  uint32_t id() const;

 private:
  std::unique_ptr<bpf_object, CloseObject> object;
};

size_t walkPrograms();                                 // by id: every program's information with its map ids
size_t walkLinks();                                    // by id: what is attached where
void inspect(uint32_t id);                             // one program and its maps
kj::AutoCloseFd passProgram();                         // XDP, of two instructions
double nanosecondsPerRun(int program, uint32_t runs);  // BPF_PROG_TEST_RUN on a packet of 64 bytes
double nanosecondsPerRunOf(uint32_t id, uint32_t runs);

}  // namespace bpfman::bench
