// What a client asked an attach with: the descriptors that came along are taken and looked at before anything is done.
#pragma once

#include "frontend/connection.h"
#include "frontend/hook.h"

namespace bpfman {

struct AttachTargets {
  kj::Maybe<NamespaceTarget> netns;
  kj::AutoCloseFd target;
  kj::Maybe<ProcessTarget> process;
};

kj::Promise<AttachTargets> targetsOf(Core& core, schema::Place::Reader place);

HookType requireMayAttach(Connection& connection, Narrowed narrowed, const ProgramRow& program, schema::Place::Reader place);
// Attaching changes what it does: his own, or an administrator's; to a place of its kind.

void requireMayHandOver(Connection& connection, Narrowed narrowed, const ProgramRow& program);
// The program itself, to be given to a socket: likewise, and of a type that is for sockets.

void requireMayRun(Connection& connection, Narrowed narrowed, const ProgramRow& program);
// Likewise, of a type that is run.

}  // namespace bpfman
