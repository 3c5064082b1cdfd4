// The RPC's objects. Each checks the caller's right first, then does its one thing; the work itself is elsewhere.
#pragma once

#include "frontend/connection.h"
#include "frontend/limits.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

class SystemView;

schema::Daemon::Client newDaemon(Connection& connection, SystemView& system);                          // server-daemon.c++
schema::Programs::Client newPrograms(Connection& connection, SystemView& system);                      // server-programs.c++
schema::Program::Client newProgram(Connection& connection, uint32_t id, Narrowed narrowed = nullptr);  // server-program.c++
schema::Links::Client newLinks(Connection& connection);                                                // server-links.c++
schema::Link::Client newLink(Connection& connection, uint32_t id, Narrowed narrowed = nullptr);
schema::Map::Client newMap(Connection& connection, uint32_t load, uint32_t index, Narrowed narrowed = nullptr);  // server-map.c++
schema::Tokens::Client newTokens(Connection& connection);                                                        // server-tokens.c++
schema::Descriptor::Client handOver(Connection& connection, kj::AutoCloseFd descriptor);
schema::Revoker::Client newRevoker(Connection& connection, Narrowing& narrowing);
schema::Overview::Client newOverview(Connection& connection, SystemView& system);  // server-daemon.c++

kj::Promise<kj::AutoCloseFd> descriptorOf(schema::Descriptor::Client client, kj::StringPtr what);
// A duplicate of the descriptor that it carries. Fails when it carries none.

void takeGlobals(LoadWish& wish, capnp::List<schema::Global>::Reader list);  // within the limits, or refused
void takeMetadata(LoadWish& wish, capnp::List<schema::KeyValue>::Reader metadata, capnp::Text::Reader application);  // likewise
void requireMayLoad(Connection& connection, LoadWish& wish, TypeSet types);
// What the caller's rights allow: refused, or the wish's limit of map memory set. types: bit = schema::ProgramType.
kj::Promise<SealedObject> objectFrom(Connection& connection, schema::Bytecode::Reader bytecode);
// The bytecode as it was handed over, taken. The connection must outlive the promise.

using ChangeContext = capnp::CallContext<schema::Links::ChangeParams, schema::Links::ChangeResults>;
using ParkContext = capnp::CallContext<schema::Links::ParkParams, schema::Links::ParkResults>;
using TakeContext = capnp::CallContext<schema::Programs::TakeParams, schema::Programs::TakeResults>;
using UpdateContext = capnp::CallContext<schema::Program::UpdateParams, schema::UpdateAnswer>;
// server-change.c++
kj::Promise<void> changeLinks(Holding& connection, ChangeContext context);
uint64_t nanosecondsFrom(uint32_t confirmWithin);  // within the limit, or refused
kj::Promise<void> endChange(Holding& connection, uint32_t id, bool confirm);
kj::Promise<void> parkDispatcher(Holding& connection, ParkContext context, kj::Maybe<NamespaceTarget> netns);
void describeWaiting(const ChangeRow& row, schema::WaitingChange::Builder out);
void requireNotReplaced(Core& core, uint32_t id);  // of a program that is gone: says which one took its place
[[noreturn]] void refuseNoProgram(Core& core, uint32_t id);
std::string updatePurpose(uint32_t replaced);   // of the load of an update: until it is done, a restart undoes it
std::string updatedPurpose(uint32_t replaced);  // then
kj::Promise<void> updateProgram(Holding& connection, uint32_t id, UpdateContext context);  // server-update.c++
kj::Promise<void> takeProgram(Holding& connection, TakeContext context);                   // server-take.c++

Pairs pairsFrom(capnp::List<schema::KeyValue>::Reader list);        // within the limits, or refused
void unloadProgram(Core& core, uint32_t id, kj::WaitScope& scope);  // with its links
void detachLink(Core& core, uint32_t id, kj::WaitScope& scope);

}  // namespace bpfman
