// Rows of the catalogue and answers of the kernel as the RPC's structs.
#pragma once

#include <linux/bpf.h>

#include "frontend/core.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

void describe(Core& core, const ProgramRow& row, schema::ProgramRecord::Builder out);
void describe(Core& core, const LinkRow& row, schema::LinkRecord::Builder out);
void describe(const bpf_prog_info& info, kj::ArrayPtr<const uint32_t> mapIds, bool statsOn, schema::KernelProgram::Builder out);
void describe(const Core& core, const bpf_map_info& info, schema::KernelMap::Builder out);
void describe(const bpf_link_info& info, schema::KernelLink::Builder out);

void describeProgram(Core& core, uint32_t id, schema::ProgramDetails::Builder out, kj::WaitScope& scope);
void describeLoaded(Core& core, const LoadOutcome& outcome, size_t index, schema::ProgramDetails::Builder out);  // asks nobody again
void describeLink(Core& core, uint32_t id, schema::LinkDetails::Builder out, kj::WaitScope& scope);
// With what the kernel says now. Refuse when the catalogue has no such row.

int32_t positionOf(Core& core, const LinkRow& link);                     // among ours on its hook, 0 first; -1: it does not run
std::vector<const LinkRow*> orderedOn(Core& core, const LinkRow& link);  // ours on its hook, as they run
void describePairs(const Pairs& pairs, capnp::List<schema::KeyValue>::Builder out);

}  // namespace bpfman
