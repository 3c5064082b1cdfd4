// What every connection begins with, and the overview of the machine.
#include <linux/bpf.h>

#include <algorithm>

#include <kj/debug.h>

#include "frontend/describe.h"
#include "frontend/gather.h"
#include "frontend/memory.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"
#include "frontend/system-view.h"

namespace bpfman {

namespace {

constexpr const char* VERSION = BPFMAN_VERSION;
constexpr uint32_t PROTOCOL = 1;

class OverviewServer final : public schema::Overview::Server {
 public:
  OverviewServer(Connection& connection, SystemView& system) : connection(connection), core(connection.core), system(system) {}

  kj::Promise<void> programs(ProgramsContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      auto all = system.programs(scope);
      auto out = context.getResults().initPrograms(all.size());
      for (size_t i = 0; i < all.size(); ++i) describe(all[i], system.moment(), out[i]);
    });
  }

  kj::Promise<void> maps(MapsContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      auto all = system.maps(scope);
      auto out = context.getResults().initMaps(all.size());
      for (size_t i = 0; i < all.size(); ++i) describe(all[i], out[i]);
    });
  }

  kj::Promise<void> links(LinksContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      auto all = system.links(scope);
      auto out = context.getResults().initLinks(all.size());
      for (size_t i = 0; i < all.size(); ++i) describe(all[i], out[i]);
    });
  }

  kj::Promise<void> hooks(HooksContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      auto& all = system.hooks(scope);
      auto out = context.getResults().initHooks(all.size());
      for (size_t i = 0; i < all.size(); ++i) {
        out[i].setType(all[i].row.type);
        out[i].setProgramClass(className(all[i].row.programClass));
        out[i].setMissing(all[i].missing.c_str());
        auto kinds = out[i].initKinds(all[i].kinds.size());
        for (size_t k = 0; k < kinds.size(); ++k) kinds.set(k, all[i].kinds[k].c_str());
      }
    });
  }

  kj::Promise<void> memory(MemoryContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      auto byUser = memoryByUser(core, scope);
      std::vector<std::pair<uint32_t, MemoryUse>> users(byUser.begin(), byUser.end());
      std::ranges::stable_sort(users, [](auto& a, auto& b) { return a.second.bytes > b.second.bytes; });
      auto out = context.getResults().initUsers(users.size());
      for (size_t i = 0; i < users.size(); ++i) {
        out[i].setUid(users[i].first);
        out[i].setPrograms(users[i].second.programs);
        out[i].setMaps(users[i].second.maps);
        out[i].setBytes(users[i].second.bytes);
      }
    });
  }

  kj::Promise<void> attachments(AttachmentsContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      Gathered all = gatherAttachments(core, system, scope);
      auto out = context.getResults().initAttachments(all.attachments.size());
      for (size_t i = 0; i < all.attachments.size(); ++i)
        describe(all.attachments[i], core.catalog.program(all.attachments[i].programId) != nullptr, out[i]);
      auto notes = context.getResults().initNotes(all.notes.size());
      for (size_t i = 0; i < all.notes.size(); ++i) notes.set(i, all.notes[i].c_str());
    });
  }

 private:
  Holding connection;
  Core& core;
  SystemView& system;
};

class AuditServer final : public schema::Audit::Server {
 public:
  explicit AuditServer(Connection& connection) : connection(connection) {}

  kj::Promise<void> read(ReadContext context) override {
    connection->rights.requireAdministrator("read the audit");
    auto wish = context.getParams().getFilter();
    if (wish.getLimit() == 0 || wish.getLimit() > limits::AUDIT_LINES)
      refuse("limit ", wish.getLimit(), ": give 1 to ", limits::AUDIT_LINES);
    AuditFilter filter{nullptr, nullptr, nullptr, wish.getAction().cStr(), wish.getSince().cStr(), wish.getFailedOnly()};
    if (wish.getUser().isUid()) filter.uid = wish.getUser().getUid();
    if (wish.getProgramId() != 0) filter.program = wish.getProgramId();
    if (wish.getLinkId() != 0) filter.link = wish.getLinkId();
    auto lines = connection->core.audit.read(filter, wish.getLimit());
    auto out = context.getResults().initLines(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) out.set(i, lines[i].c_str());
    return kj::READY_NOW;
  }

 private:
  Holding connection;
};

class DaemonServer final : public schema::Daemon::Server {
 public:
  DaemonServer(Connection& connection, SystemView& system) : connection(connection), system(system) {}

  kj::Promise<void> version(VersionContext context) override {
    auto results = context.getResults();
    results.setVersion(VERSION);
    results.setProtocol(PROTOCOL);
    auto& engines = connection->core.engines;
    results.setEngine(engines.preferred(true).name());
    results.setEngineReason(engines.reason(true));
    results.setTcEngine(engines.preferred(false).name());
    results.setTcEngineReason(engines.reason(false));
    return kj::READY_NOW;
  }

  kj::Promise<void> whoAmI(WhoAmIContext context) override {
    auto results = context.getResults();
    const Caller& caller = connection->identity.caller;
    results.setUid(caller.uid);
    auto gids = results.initGids(caller.gids.size());
    for (size_t i = 0; i < caller.gids.size(); ++i) gids.set(i, caller.gids[i]);
    auto names = connection->rights.roleNames();
    auto roles = results.initRoles(names.size());
    for (size_t i = 0; i < names.size(); ++i) roles.set(i, names[i].c_str());
    auto& where = connection->identity.where;
    results.setCgroup(where.cgroup);
    results.setUserNamespace(where.userNamespace);
    results.setNetworkNamespace(where.networkNamespace);
    results.setUnknown(where.unknown.c_str());
    return kj::READY_NOW;
  }

  kj::Promise<void> enter(EnterContext context) override {
    connection->requireCapabilities(5);
    auto results = context.getResults();
    results.setPrograms(newPrograms(*connection, system));
    results.setLinks(newLinks(*connection));
    results.setOverview(newOverview(*connection, system));
    results.setAudit(kj::heap<AuditServer>(*connection));
    results.setTokens(newTokens(*connection));
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  SystemView& system;
};

}  // namespace

schema::Daemon::Client newDaemon(Connection& connection, SystemView& system) { return kj::heap<DaemonServer>(connection, system); }
schema::Overview::Client newOverview(Connection& connection, SystemView& system) { return kj::heap<OverviewServer>(connection, system); }

}  // namespace bpfman
