// Links and the chains that they make up.
#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/describe.h"
#include "frontend/hook.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

class LinkServer final : public schema::Link::Server {
 public:
  LinkServer(Connection& connection, uint32_t id, Narrowed narrowed) : connection(connection, narrowed), core(connection.core), id(id) {}

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    return connection.read(
        [this, context](kj::WaitScope& scope) mutable { describeLink(core, id, context.getResults().initDetails(), scope); });
  }

  kj::Promise<void> narrow(NarrowContext context) override {
    auto narrowing = connection.narrow(context.getParams().getNarrowing());
    context.getResults().setLink(newLink(*connection, id, *narrowing));
    context.getResults().setRevoker(newRevoker(*connection, *narrowing));
    return kj::READY_NOW;
  }

  kj::Promise<void> detach(DetachContext context) override {
    KJ_IF_MAYBE (link, core.catalog.link(id)) connection->rights.requireUnload(link->uid);
    return connection.change("detach", [this](kj::WaitScope& scope, AuditLine& line) {
      line.links = {id};
      KJ_IF_MAYBE (link, core.catalog.link(id)) {
        line.programs = {link->programId};
        line.what = link->interface.empty() ? link->target : link->interface;
      }
      detachLink(core, id, scope);
    });
  }

 private:
  Holding connection;
  Core& core;
  uint32_t id;
};

class LinksServer final : public schema::Links::Server {
 public:
  explicit LinksServer(Connection& connection) : connection(connection), core(connection.core) {}

  kj::Promise<void> list(ListContext context) override {
    connection->rights.requireView();
    auto filter = context.getParams().getFilter();
    std::vector<const LinkRow*> rows;
    for (auto& [id, row] : core.catalog.links())
      if (wanted(row, filter)) rows.push_back(&row);
    auto out = context.getResults().initLinks(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) describe(core, *rows[i], out[i]);
    return kj::READY_NOW;
  }

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      uint32_t id = context.getParams().getId();
      describeLink(core, id, context.getResults().initDetails(), scope);
      context.getResults().setLink(newLink(*connection, id));
    });
  }

  kj::Promise<void> dispatchers(DispatchersContext context) override {
    connection->rights.requireView();
    auto params = context.getParams();
    std::vector<const DispatcherRow*> rows;
    for (auto& [key, row] : core.catalog.dispatchers())
      if ((params.getType().size() == 0 || params.getType() == row.type.c_str()) &&
          (params.getNsid() == 0 || params.getNsid() == row.nsid) && (params.getIfindex() == 0 || params.getIfindex() == row.ifindex))
        rows.push_back(&row);
    auto out = context.getResults().initDispatchers(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) describeDispatcher(*rows[i], out[i]);
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  Core& core;

  bool wanted(const LinkRow& row, schema::LinkFilter::Reader filter) {
    if (filter.getProgramId() != 0 && filter.getProgramId() != row.programId) return false;
    auto kinds = filter.getKinds();
    bool kind = kinds.size() == 0;
    for (auto name : kinds) kind |= name == typeName(static_cast<schema::ProgramType>(row.kind));
    if (!kind) return false;
    KJ_IF_MAYBE (program, core.catalog.program(row.programId)) {
      if (filter.getApplication().size() > 0 && filter.getApplication() != program->application.c_str()) return false;
      for (auto pair : filter.getMetadata()) {
        bool found = false;
        for (auto& [key, value] : program->metadata) found |= pair.getKey() == key.c_str() && pair.getValue() == value.c_str();
        if (!found) return false;
      }
    }
    return true;
  }

  void describeDispatcher(const DispatcherRow& row, schema::Dispatcher::Builder out) {
    out.setType(row.type.c_str());
    out.setNsid(row.nsid);
    out.setIfindex(row.ifindex);
    out.setRevision(row.revision);
    out.setProgramId(row.programId);
    out.setKernelLinkId(row.kernelLinkId);
    out.setNetnsPath(row.netnsPath.c_str());
    out.setEngine(row.engine.c_str());
    out.setFilterPriority(row.filterPriority);
    out.setFilterHandle(row.filterHandle);
    std::vector<const LinkRow*> links;
    for (auto& [id, link] : core.catalog.links())
      KJ_IF_MAYBE (chain, hookOf(link).hook.chainOf(link))
        if (chain->type == row.type && chain->nsid == row.nsid && chain->ifindex == row.ifindex) links.push_back(&link);
    if (!links.empty()) links = orderedOn(core, *links[0]);
    auto members = out.initMembers(links.size());
    for (size_t i = 0; i < links.size(); ++i) {
      const LinkRow& link = *links[i];
      members[i].setProgramId(link.programId);
      KJ_IF_MAYBE (program, core.catalog.program(link.programId)) members[i].setProgramName(program->name.c_str());
      members[i].setProgramPinPath(pathOf(core.runtimeDir(), pinAt(wire::Dir::programs, link.programId)));
      members[i].setLinkId(link.id);
      members[i].setKernelLinkId(link.kernelLinkId);
      members[i].setLinkPinPath(pathOf(core.runtimeDir(), hookOf(link).hook.pinOf(link)));
      members[i].setPosition(i);
      members[i].setPriority(link.priority);
      members[i].setProceedOn(link.proceedOn);
      members[i].setInterface(link.interface.c_str());
      describePairs(link.metadata, members[i].initMetadata(link.metadata.size()));
    }
  }
};

}  // namespace

schema::Links::Client newLinks(Connection& connection) { return kj::heap<LinksServer>(connection); }
schema::Link::Client newLink(Connection& connection, uint32_t id, Narrowed narrowed) {
  return kj::heap<LinkServer>(connection, id, narrowed);
}

}  // namespace bpfman
