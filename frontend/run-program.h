// One run of a syscall program, by a loader that does nothing else. Where the program's calls reach is what that process may do: nothing.
#pragma once

#include "frontend/core.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

void runProgram(Core& core, const ProgramRow& program, capnp::Data::Reader context, schema::Program::RunResults::Builder results,
                kj::WaitScope& scope);

}  // namespace bpfman
