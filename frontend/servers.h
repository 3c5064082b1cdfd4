// The RPC's objects. Each checks the caller's right first, then does its one thing; the work itself is elsewhere.
#pragma once

#include "frontend/connection.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

class SystemView;

schema::Daemon::Client newDaemon(Connection& connection, SystemView& system);                          // server-daemon.c++
schema::Programs::Client newPrograms(Connection& connection, SystemView& system);                      // server-programs.c++
schema::Program::Client newProgram(Connection& connection, uint32_t id, Narrowed narrowed = nullptr);  // server-program.c++
schema::Links::Client newLinks(Connection& connection);                                                // server-links.c++
schema::Link::Client newLink(Connection& connection, uint32_t id, Narrowed narrowed = nullptr);
schema::Map::Client newMap(Connection& connection, uint32_t load, uint32_t index, Narrowed narrowed = nullptr);  // server-map.c++
schema::Revoker::Client newRevoker(Connection& connection, Narrowing& narrowing);
schema::Overview::Client newOverview(Connection& connection, SystemView& system);  // server-daemon.c++

kj::Promise<kj::AutoCloseFd> descriptorOf(schema::Descriptor::Client client, kj::StringPtr what);
// A duplicate of the descriptor that it carries. Fails when it carries none.

Pairs pairsFrom(capnp::List<schema::KeyValue>::Reader list);        // within the limits, or refused
void unloadProgram(Core& core, uint32_t id, kj::WaitScope& scope);  // with its links
void detachLink(Core& core, uint32_t id, kj::WaitScope& scope);

}  // namespace bpfman
