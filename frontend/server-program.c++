// One program: shown, attached, unloaded; its maps.
#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/attach-request.h"
#include "frontend/chain-change.h"
#include "frontend/clock.h"
#include "frontend/describe.h"
#include "frontend/hook.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"
#include "frontend/run-program.h"
#include "frontend/servers.h"
#include "frontend/variables.h"

namespace bpfman {

namespace {

ProgramRow rowOf(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.program(id)) return *row;
  refuseNoProgram(core, id);
}

LinkRow linkOf(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.link(id)) return *row;
  refuse("link ", id, " does not exist");
}

// One that waits, or that was taken back while it was being attached again, is nowhere but in the catalogue.
void takeOff(Core& core, const LinkRow& link, kj::WaitScope& scope) {
  if (!isWaiting(link)) hookOf(link).hook.detach(core, link, scope);
  KJ_IF_MAYBE (row, core.catalog.link(link.id))
    if (isWaiting(*row)) core.catalog.eraseLink(link.id);
}

uint32_t ownerOf(Core& core, const ProgramRow& program) {
  KJ_IF_MAYBE (load, core.catalog.load(program.load)) return load->uid;
  return 0;
}

class ProgramServer final : public schema::Program::Server {
 public:
  ProgramServer(Connection& connection, uint32_t id, Narrowed narrowed) : connection(connection, narrowed), core(connection.core), id(id) {}

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    return connection.read(
        [this, context](kj::WaitScope& scope) mutable { describeProgram(core, id, context.getResults().initDetails(), scope); });
  }

  kj::Promise<void> attach(AttachContext context) override {
    auto params = context.getParams();
    connection->requireCapabilities(1);
    auto place = params.getPlace();
    ProgramRow program = rowOf(core, id);
    HookType type = requireMayAttach(*connection, connection.narrowed(), program, place);
    Pairs metadata = pairsFrom(params.getMetadata());
    std::string request = connection->requestKey(params.getRequestId());
    return targetsOf(core, place).then([this, context, request, metadata = kj::mv(metadata), type](AttachTargets given) mutable {
      return connection.change("attach", [this, context, request, metadata = kj::mv(metadata), given = kj::mv(given), type](
                                             kj::WaitScope& scope, AuditLine& line) mutable {
        line.programs = {id};
        line.request = request;
        auto turn = core.locks.take(programLock(id), scope);
        core.changes.requireFree(core, rowOf(core, id));
        LinkRow link;
        KJ_IF_MAYBE (before, madeBefore(request)) {
          link = *before;
          line.what = "again: ";
        } else {
          auto params = context.getParams();
          AttachWish wish{rowOf(core, id),      params.getPlace(),     kj::mv(given.netns),
                          kj::mv(given.target), kj::mv(given.process), kj::mv(metadata),
                          connection->rights,   connection->uid(),     request,
                          params.getBefore(),   params.getAfter()};
          link = type.hook.attach(core, wish, scope);
        }
        line.links = {link.id};
        line.what += link.interface.empty() ? link.target : link.interface;
        if (uint32_t adopted = adoptedBeside(link)) line.what += " beside the adopted program " + std::to_string(adopted);
        auto results = context.getResults();
        results.setLink(newLink(*connection, link.id, connection.narrowed()));
        describeLink(core, link.id, results.initDetails(), scope);
      });
    });
  }

  kj::Promise<void> plan(PlanContext context) override {
    auto place = context.getParams().getPlace();
    ProgramRow program = rowOf(core, id);
    HookType type = requireMayAttach(*connection, connection.narrowed(), program, place);
    return targetsOf(core, place).then([this, context, type](AttachTargets given) mutable {
      return connection.read([this, context, given = kj::mv(given), type](kj::WaitScope& scope) mutable {
        auto params = context.getParams();
        AttachWish wish{rowOf(core, id),      params.getPlace(),     kj::mv(given.netns),
                        kj::mv(given.target), kj::mv(given.process), {},
                        connection->rights,   connection->uid(),     "",
                        params.getBefore(),   params.getAfter()};
        Plan plan = type.hook.plan(core, wish, scope);
        describe(plan, plan.now, context.getResults().initNow(plan.now.size()));
        describe(plan, plan.then, context.getResults().initThen(plan.then.size()));
      });
    });
  }

  kj::Promise<void> update(UpdateContext context) override { return updateProgram(connection, id, context); }

  kj::Promise<void> set(SetContext context) override {
    connection->rights.requireMap(MapRight::write, ownerOf(core, rowOf(core, id)));
    return connection.change("set", [this, context](kj::WaitScope& scope, AuditLine& line) mutable {
      line.programs = {id};
      auto turn = core.locks.take(programLock(id), scope);
      setVariables(core, id, context.getParams().getVariables(), line, scope);
    });
  }

  kj::Promise<void> variables(VariablesContext context) override {
    connection->rights.requireMap(MapRight::read, ownerOf(core, rowOf(core, id)));
    return connection.read([this, context](kj::WaitScope& scope) mutable { listVariables(core, id, context.getResults(), scope); });
  }

  kj::Promise<void> descriptor(DescriptorContext context) override {
    requireMayHandOver(*connection, connection.narrowed(), rowOf(core, id));
    return connection.audited("hand over", [this, context](kj::WaitScope& scope, AuditLine& line) mutable {
      ProgramRow program = rowOf(core, id);
      line.programs = {id};
      line.what = program.name;
      connection->requireDescriptor(scope);
      auto place = core.workers.host(scope);
      auto reply = place->worker.call(wire::Op::openObject, wire::OpenObject{loadedProgram(program.load, program.index), 0, 0}).wait(scope);
      requireOk(reply, "open the program");
      KJ_IF_MAYBE (narrowing, connection.narrowed()) {
        narrowing->requireLive();  // revoked meanwhile
        narrowing->note({0, schema::Map::Access::READ_WRITE, wallClock(), id});
      }
      context.getResults().setDescriptor(handOver(*connection, kj::mv(KJ_REQUIRE_NONNULL(reply.descriptor))));
    });
  }

  kj::Promise<void> run(RunContext context) override {
    requireMayRun(*connection, connection.narrowed(), rowOf(core, id));
    return connection.change("run", [this, context](kj::WaitScope& scope, AuditLine& line) mutable {
      ProgramRow program = rowOf(core, id);
      line.programs = {id};
      line.what = program.name;
      runProgram(core, program, context.getParams().getContext(), context.getResults(), scope);
    });
  }

  kj::Promise<void> narrow(NarrowContext context) override {
    auto narrowing = connection.narrow(context.getParams().getNarrowing());
    context.getResults().setProgram(newProgram(*connection, id, *narrowing));
    context.getResults().setRevoker(newRevoker(*connection, *narrowing));
    return kj::READY_NOW;
  }

  kj::Promise<void> unload(UnloadContext context) override {
    connection->rights.requireUnload(ownerOf(core, rowOf(core, id)));
    return connection.change("unload", [this](kj::WaitScope& scope, AuditLine& line) {
      line.programs = {id};
      line.what = rowOf(core, id).name;
      for (auto link : core.catalog.linksOf(id)) line.links.push_back(link->id);
      unloadProgram(core, id, scope);
    });
  }

  kj::Promise<void> maps(MapsContext context) override {
    ProgramRow program = rowOf(core, id);
    connection->rights.requireView();
    KJ_IF_MAYBE (narrowing, connection.narrowed()) narrowing->requireLive();
    const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(program.load));
    connection->requireCapabilities(load.maps.size());
    auto out = context.getResults().initMaps(load.maps.size());
    for (size_t i = 0; i < load.maps.size(); ++i) {
      out[i].setName(load.maps[i].name.c_str());
      out[i].setId(load.maps[i].id);
      out[i].setMap(newMap(*connection, program.load, load.maps[i].index, connection.narrowed()));
    }
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  Core& core;
  uint32_t id;

  static void describe(const Plan& plan, const std::vector<Member>& members, capnp::List<schema::Planned>::Builder out) {
    for (size_t i = 0; i < members.size(); ++i) {
      const Member& member = members[i];
      bool wanted = !member.foreign && member.link == plan.newcomer;
      out[i].setLinkId(wanted ? 0 : member.link);
      out[i].setProgramId(member.program);
      out[i].setProgramName(member.name.c_str());
      out[i].setPriority(member.priority);
      out[i].setForeign(member.foreign);
      out[i].setWanted(wanted);
      out[i].setReason(member.reason.c_str());
    }
  }

  uint32_t adoptedBeside(const LinkRow& link) {
    KJ_IF_MAYBE (chain, hookOf(link).hook.chainOf(link))
      KJ_IF_MAYBE (row, core.catalog.dispatcher(chain->type, chain->nsid, chain->ifindex)) return row->adopted;
    return 0;
  }

  // By the first try of a request whose answer was lost.
  kj::Maybe<LinkRow> madeBefore(const std::string& request) {
    KJ_IF_MAYBE (link, core.catalog.linkOf(request))
      if (link->state == LinkRow::attached && link->programId == id) return *link;
    return nullptr;
  }
};

}  // namespace

schema::Program::Client newProgram(Connection& connection, uint32_t id, Narrowed narrowed) {
  return kj::heap<ProgramServer>(connection, id, narrowed);
}

void unloadProgram(Core& core, uint32_t id, kj::WaitScope& scope) {
  auto turn = core.locks.take(programLock(id), scope);
  const ProgramRow program = rowOf(core, id);
  core.changes.requireFree(core, program);
  std::vector<LinkRow> links;
  for (auto link : core.catalog.linksOf(id)) links.push_back(*link);
  for (auto& link : links) {
    auto failure = kj::runCatchingExceptions([&]() { takeOff(core, link, scope); });
    KJ_IF_MAYBE (exception, failure)  // unless somebody else detached it at the same time
      if (core.catalog.link(link.id) != nullptr) kj::throwFatalException(kj::mv(*exception));
  }
  for (auto& link : links)
    KJ_IF_MAYBE (chain, hookOf(link).hook.chainOf(link)) core.engines.of(program).settle(*chain, scope);
  core.loads.removeProgram(id, scope);
}

void detachLink(Core& core, uint32_t id, kj::WaitScope& scope) {
  LinkRow link = linkOf(core, id);
  kj::Maybe<Locks::Turn> turn;
  if (!link.waiting.empty()) {  // it may be attached again at this moment
    turn = core.locks.take(programLock(link.programId), scope);
    link = linkOf(core, id);
  }
  takeOff(core, link, scope);
}

}  // namespace bpfman
