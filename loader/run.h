// One run of a program of type syscall. What it calls in the kernel, bpf(2) included, counts as called by the process that runs it: so it
// is run in one that may do nothing.
#pragma once

#include "schema/loader.capnp.h"

namespace bpfman {

void runOnce(int program, capnp::Data::Reader context, schema::LoadResult::Builder result);

}  // namespace bpfman
