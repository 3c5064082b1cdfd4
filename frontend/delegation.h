// What is delegated by a BPF token: words of a request against the kernel's numbers, and what of bpfman's types somebody with such a token
// could load, which the policy decides about.
#pragma once

#include "frontend/core.h"
#include "frontend/role.h"
#include "schema/token.capnp.h"

namespace bpfman {

struct Delegation {
  uint64_t masks[4] = {};  // in the order of schema/delegator.h
};

Delegation delegationFrom(schema::Delegation::Reader wish);  // refuses a word that it does not know, and what has no name here
TypeSet typesOf(const Delegation& delegation);
// Why the delegator, whose job socket this is, did not do it; nothing: it did. Throws when it does not answer: then nobody knows.
kj::Maybe<kj::String> delegate(Core& core, kj::AutoCloseFd delegator, const FileSystemContext& bpffs, const Delegation& delegation,
                               kj::WaitScope& scope);
void describeDelegation(const uint64_t (&masks)[4], schema::Delegation::Builder out);

}  // namespace bpfman
