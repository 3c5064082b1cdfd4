// The signatures that come with a load: whether they are of what is loaded. The kernel verifies them.
#pragma once

#include "frontend/load.h"

namespace bpfman {

void takeSignatures(LoadWish& wish, capnp::List<schema::Signature>::Reader list);  // refuses what can't be one
void requireSignedPrograms(const LoadWish& wish);  // all are of its programs, which are known by now, or of an alternative

}  // namespace bpfman
