// All program types that bpfman loads, in one table that the frontend, the command and the documents share: what the kernel calls them,
// where they are attached, and what they can reach.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>

#include <kj/common.h>
#include <kj/string.h>

#include "schema/place.capnp.h"

namespace bpfman {

// What a type's programs can reach. observe equals reading all of the kernel's memory; control equals root.
enum class ProgramClass : uint8_t { network, cgroup, observe, control, count };

// What it is attached to, as far as the policy decides about that.
enum class TargetKind : uint8_t { none, interface, netns, cgroup, binary, map };

struct ProgramTypeRow {
  schema::ProgramType type;
  kj::StringPtr name;                       // as in --programs TYPE:NAME, in the policy and in lists
  uint32_t kernelType, expectedAttachType;  // BPF_PROG_TYPE_*, BPF_*
  schema::Place::Which place;               // the one kind of place that it attaches to
  ProgramClass programClass;
  TargetKind target;
  kj::StringPtr needs = ""_kj;    // since which Linux, or with which option; "": 6.1 has it
  kj::StringPtr feature = ""_kj;  // functions that only such a kernel has; "": loading one tells
};

std::span<const ProgramTypeRow> programTypes();  // in the order in which they are listed
kj::Maybe<const ProgramTypeRow&> rowOf(schema::ProgramType type);
kj::Maybe<schema::ProgramType> typeNamed(kj::StringPtr name);  // also by another word for it

// A type that the table lacks is nobody's but an administrator's: control, of no target, "unknown".
TargetKind targetOf(schema::ProgramType type);
ProgramClass classOf(schema::ProgramType type);
kj::StringPtr typeName(schema::ProgramType type);
kj::StringPtr className(ProgramClass programClass);
kj::String typesAt(schema::Place::Which place);  // "uprobe or uretprobe"

using TypeSet = std::bitset<128>;  // bit = schema::ProgramType
TypeSet setOf(std::initializer_list<schema::ProgramType> types);

}  // namespace bpfman
