// The global variables of a program that runs. Where they are and of what type, a loader reads in the program's bytecode; their maps are
// mapped here for the moment, so that nothing is written but what was named, however much the program writes beside it.
#pragma once

#include "frontend/core.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

// Each fails before the first store, or does all of them.
void setVariables(Core& core, uint32_t program, capnp::List<schema::Global>::Reader wanted, AuditLine& line, kj::WaitScope& scope);
void listVariables(Core& core, uint32_t program, schema::Program::VariablesResults::Builder results, kj::WaitScope& scope);

}  // namespace bpfman
