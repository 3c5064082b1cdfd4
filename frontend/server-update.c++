// Other bytecode for a program that is loaded: a load that uses its maps, and one change of all its chains.
#include <kj/debug.h>

#include "frontend/chain-change.h"
#include "frontend/describe.h"
#include "frontend/limited-text.h"
#include "frontend/memory.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"
#include "frontend/settle-programs.h"
#include "frontend/signatures.h"

namespace bpfman {

namespace {

LoadWish wishFrom(Connection& connection, uint32_t id, schema::Bytecode::Reader bytecode, schema::UpdateOptions::Reader options) {
  Core& core = connection.core;
  KJ_IF_MAYBE (old, core.catalog.program(id)) {
    auto type = static_cast<schema::ProgramType>(old->type);
    HookType hook = KJ_ASSERT_NONNULL(hookOf(type));
    const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(old->load));
    connection.rights.requireUnload(load.uid);
    core.loads.requireObject(id, "there is nothing to update it with: load the other one, attach it, and unload this one");
    LoadWish wish;
    std::string name = options.getName().size() == 0 ? old->name : limitedText(options.getName(), "a program's name");
    wish.programs.push_back({old->type, name, old->attachTo, typeName(type).cStr(), hook.row.kernelType, hook.row.expectedAttachType});
    takeGlobals(wish, options.getGlobals());
    if (options.getGlobals().size() == 0) wish.globals = old->globals;
    wish.metadata = old->metadata;
    wish.application = old->application;
    wish.sourcePath = limitedText(bytecode.getSourcePath(), "the source path", limits::PATH_BYTES);
    wish.mapOwner = id;
    wish.uid = load.uid;
    wish.request = connection.requestKey(options.getRequestId());
    wish.purpose = updatePurpose(id);
    wish.persistent = load.persistent;
    wish.keptSizes = load.mapSizes;
    takeSignatures(wish, options.getSignatures());
    requireSignedPrograms(wish);
    requireMayLoad(connection, wish, setOf({type}));
    return wish;
  }
  refuseNoProgram(core, id);
}

// A retry, after the answer to the first try was lost: what that loaded. 0: there was none.
uint32_t madeBefore(Core& core, const std::string& request) {
  KJ_IF_MAYBE (load, core.catalog.loadOf(request))
    if (load->state == LoadRow::loaded) return core.catalog.programsOf(load->load)[0]->id;
  return 0;
}

void carryOut(Holding& connection, uint32_t id, UpdateContext& context, LoadWish& wish, SealedObject& object, AuditLine& line,
              kj::WaitScope& scope) {
  Core& core = connection->core;
  Cancellation cancellation;
  connection->loads.insert(&cancellation);
  KJ_DEFER(connection->loads.erase(&cancellation));
  KJ_IF_MAYBE (old, core.catalog.program(id))
    wish.extension = core.engines.extensionLike(ProgramRow(*old), scope);
  else
    refuseNoProgram(core, id);
  aimAtPrograms(core, connection->rights, wish, scope);
  LoadOutcome outcome = core.loads.load(wish, object.fd(), object.size(), cancellation, scope);
  auto results = context.getResults();
  KJ_IF_MAYBE (refused, outcome.refused) {
    line.what += ": refused: " + refused->reason;
    auto refusal = results.initRefused();
    refusal.setReason(refused->reason.c_str());
    refusal.setVerifierLog(refused->verifierLog.c_str());
    refusal.setSummary(refused->summary.c_str());
    return;
  }
  uint32_t replacement = outcome.programs[0];
  line.programs.push_back(replacement);
  ChainChange change(core, connection->uid(), scope);
  ChangeRow row;
  auto failure = kj::runCatchingExceptions([&]() {
    uint32_t goes = 0;  // the load that goes with it
    KJ_IF_MAYBE (old, core.catalog.program(id))
      if (core.catalog.programsOf(old->load).size() == 1) goes = old->load;
    requireWithinMemory(*connection, outcome.load, setOf({static_cast<schema::ProgramType>(wish.programs[0].type)}), scope, goes);
    change.replace(id, replacement);
    row = change.carryOut(nanosecondsFrom(context.getParams().getOptions().getConfirmWithin()));
  });
  KJ_IF_MAYBE (exception, failure) {
    if (core.catalog.program(replacement) != nullptr) core.loads.undo(outcome.load, scope);
    kj::throwFatalException(kj::mv(*exception));
  }
  line.links = change.links();
  auto updated = results.initUpdated();
  updated.setProgram(newProgram(*connection, replacement, connection.narrowed()));
  describeProgram(core, replacement, updated.initDetails(), scope);
  if (row.state == ChangeRow::waiting) describeWaiting(row, updated.initWaiting(1)[0]);
}

}  // namespace

void requireNotReplaced(Core& core, uint32_t id) {
  for (auto& [load, row] : core.catalog.loads())
    if (row.purpose == updatedPurpose(id) && row.state == LoadRow::loaded)
      refuse("program ", core.catalog.programsOf(load)[0]->id, " took its place: program ", id, " does not exist");
}

void refuseNoProgram(Core& core, uint32_t id) {
  requireNotReplaced(core, id);
  refuse("program ", id, " does not exist");
}

std::string updatePurpose(uint32_t replaced) { return "update:" + std::to_string(replaced); }
std::string updatedPurpose(uint32_t replaced) { return "updated:" + std::to_string(replaced); }

kj::Promise<void> updateProgram(Holding& connection, uint32_t id, UpdateContext context) {
  auto params = context.getParams();
  connection->requireCapabilities(1);
  Core& core = connection->core;
  auto wish = kj::heap<LoadWish>();
  wish->request = connection->requestKey(params.getOptions().getRequestId());
  if (madeBefore(core, wish->request) == 0) *wish = wishFrom(*connection, id, params.getBytecode(), params.getOptions());
  return objectFrom(*connection, params.getBytecode()).then([&connection, context, id, wish = kj::mv(wish)](SealedObject object) mutable {
    return connection.change(
        "update", [&connection, context, id, wish = kj::mv(wish), object = kj::mv(object)](kj::WaitScope& scope, AuditLine& line) mutable {
          Core& core = connection->core;
          line.programs = {id};
          line.what = wish->sourcePath;
          line.request = wish->request;
          kj::Maybe<Locks::Turn> turn;
          if (!wish->request.empty()) turn = core.locks.take("request:" + wish->request, scope);
          if (uint32_t before = madeBefore(core, wish->request)) {
            line.what += " (again)";
            auto updated = context.getResults().initUpdated();
            updated.setProgram(newProgram(*connection, before, connection.narrowed()));
            describeProgram(core, before, updated.initDetails(), scope);
            return;
          }
          carryOut(connection, id, context, *wish, object, line, scope);
        });
  });
}

}  // namespace bpfman
