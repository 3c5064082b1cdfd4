// What was taken away from a capability before it was handed on, and whether it was taken back. Narrowings form chains: all of a chain's
// must allow.
#pragma once

#include <string>
#include <vector>

#include <kj/async.h>
#include <kj/refcount.h>

#include "schema/bpfman.capnp.h"

namespace bpfman {

class Narrowing : public kj::Refcounted {
 public:
  Narrowing(schema::Narrowing::Reader wish, kj::Maybe<kj::Own<Narrowing>> above);

  struct HandOver {
    uint32_t map;  // 0: a program's
    schema::Map::Access access;
    int64_t at;
    uint32_t program = 0;
  };

  // Of this one and all above.
  void requireLive() const;
  void requireChange() const;
  void requireDescriptor() const;
  void requireInterface(kj::StringPtr name) const;  // "": a hook that has none
  void note(HandOver handOver);
  kj::Promise<void> guard(kj::Promise<void> call);  // its answer is an error from revocation on; what it does goes on

  void revoke();
  const std::vector<HandOver>& handedOver() const { return handOvers; }

 private:
  bool readOnly, noDescriptors, revoked = false;
  std::vector<std::string> interfaces;
  kj::Maybe<kj::Own<Narrowing>> above;
  std::vector<HandOver> handOvers;
  kj::Canceler calls;

  kj::Promise<void> wrap(kj::Promise<void> answer);
};

}  // namespace bpfman
