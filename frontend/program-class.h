// What a type's programs can reach. observe equals reading all of the kernel's memory; control equals root.
#pragma once

#include <cstdint>

#include <kj/string.h>

#include "schema/bpfman.capnp.h"

namespace bpfman {

enum class ProgramClass : uint8_t { network, cgroup, observe, control, count };

enum class TargetKind : uint8_t { none, interface, cgroup, binary };  // what it is attached to, as far as policy decides about that

TargetKind targetOf(schema::ProgramType type);
ProgramClass classOf(schema::ProgramType type);  // a type that the table lacks is nobody's but an administrator's: control
kj::StringPtr className(ProgramClass programClass);
kj::StringPtr typeName(schema::ProgramType type);
kj::Maybe<schema::ProgramType> typeNamed(kj::StringPtr name);  // the other way round

}  // namespace bpfman
