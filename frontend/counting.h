// What the dispatchers count, for clients: who may switch it, and the numbers.
#pragma once

#include "frontend/core.h"
#include "frontend/rights.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

void requireCounting(const Rights& rights, const Core& core, const Catalog::DispatcherKey& chain);
// An administrator, or somebody who has a program in the chain and may detach it: it costs the chain's packets, all members', some time.

void countChain(Core& core, const Catalog::DispatcherKey& chain, schema::Counting wanted, AuditLine& line, kj::WaitScope& scope);
void describeCounts(Core& core, const DispatcherRow& row, schema::Dispatcher::Builder out, kj::WaitScope& scope);
// Of the members that are in `out` already.

}  // namespace bpfman
