// Links and the chains that they make up.
#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/counting.h"
#include "frontend/describe.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/hook-chain.h"
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

  kj::Promise<void> iterate(IterateContext context) override {
    KJ_IF_MAYBE (link, core.catalog.link(id)) connection->rights.requireUnload(link->uid);
    requireHandOver();
    return connection.audited("hand over", [this, context](kj::WaitScope& scope, AuditLine& line) mutable {
      KJ_IF_MAYBE (link, core.catalog.link(id)) {
        line.links = {id}, line.programs = {link->programId}, line.what = link->target + ", an iterator";
        if (link->kind != static_cast<uint16_t>(schema::ProgramType::ITERATOR)) refuse("link ", id, " is not of an iterator");
        connection->requireDescriptor(scope);
        auto place = core.workers.host(scope);
        auto reply = place->worker.call(wire::Op::openIterator, wire::OpenIterator{hookOf(*link).hook.pinOf(*link), {}}).wait(scope);
        requireOk(reply, "open the iterator");
        requireHandOver();  // revoked meanwhile
        context.getResults().setDescriptor(handOver(*connection, kj::mv(KJ_REQUIRE_NONNULL(reply.descriptor))));
      } else {
        refuse("link ", id, " does not exist");
      }
    });
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

  void requireHandOver() {
    KJ_IF_MAYBE (narrowing, connection.narrowed()) {
      narrowing->requireLive();
      narrowing->requireDescriptor();
    }
  }
};

class LinksServer final : public schema::Links::Server {
 public:
  explicit LinksServer(Connection& connection) : connection(connection), core(connection.core) {}

  kj::Promise<void> list(ListContext context) override {
    connection->rights.requireView();
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      lookAtChains(scope);
      auto filter = context.getParams().getFilter();
      std::vector<const LinkRow*> rows;
      for (auto& [id, row] : core.catalog.links())
        if (wanted(row, filter)) rows.push_back(&row);
      auto out = context.getResults().initLinks(rows.size());
      for (size_t i = 0; i < rows.size(); ++i) describe(core, *rows[i], out[i]);
    });
  }

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      uint32_t id = context.getParams().getId();
      KJ_IF_MAYBE (link, core.catalog.link(id)) lookAtChains(scope, LinkRow(*link));
      describeLink(core, id, context.getResults().initDetails(), scope);
      context.getResults().setLink(newLink(*connection, id));
    });
  }

  kj::Promise<void> dispatchers(DispatchersContext context) override {
    connection->rights.requireView();
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      auto chains = lookAtChains(scope);
      auto params = context.getParams();
      std::vector<DispatcherRow> rows;  // copies: counters are waited for
      for (auto& [key, row] : core.catalog.dispatchers())
        if ((params.getType().size() == 0 || params.getType() == row.type.c_str()) &&
            (params.getNsid() == 0 || params.getNsid() == row.nsid) && (params.getIfindex() == 0 || params.getIfindex() == row.ifindex))
          rows.push_back(row);
      auto out = context.getResults().initDispatchers(rows.size());
      for (size_t i = 0; i < rows.size(); ++i) describeDispatcher(rows[i], chains, out[i]);
      for (size_t i = 0; i < rows.size(); ++i) describeCounts(core, rows[i], out[i], scope);
    });
  }

  kj::Promise<void> count(CountContext context) override {
    auto params = context.getParams();
    Catalog::DispatcherKey key{params.getType().cStr(), params.getNsid(), params.getIfindex()};
    connection->rights.requireView();
    requireCounting(connection->rights, core, key);
    return connection.change("count", [this, key, wanted = params.getCounting()](kj::WaitScope& scope, AuditLine& line) {
      countChain(core, key, wanted, line, scope);
    });
  }

  kj::Promise<void> change(ChangeContext context) override { return changeLinks(connection, context); }
  kj::Promise<void> confirm(ConfirmContext context) override { return endChange(connection, context.getParams().getId(), true); }
  kj::Promise<void> revert(RevertContext context) override { return endChange(connection, context.getParams().getId(), false); }

  kj::Promise<void> park(ParkContext context) override {
    connection->rights.requireAdministrator("park a dispatcher");
    auto params = context.getParams();
    if (!params.hasNetns()) return parkDispatcher(connection, context, nullptr);
    return descriptorOf(params.getNetns(), "the network namespace").then([this, context](kj::AutoCloseFd fd) mutable {
      return parkDispatcher(connection, context, core.intake.networkNamespace(kj::mv(fd)));
    });
  }

  kj::Promise<void> waiting(WaitingContext context) override {
    connection->rights.requireView();
    std::vector<const ChangeRow*> rows;
    for (auto& [id, row] : core.catalog.changes())
      if (row.state == ChangeRow::waiting) rows.push_back(&row);
    auto out = context.getResults().initChanges(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) describeWaiting(*rows[i], out[i]);
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  Core& core;

  using Chains = std::map<Catalog::DispatcherKey, std::vector<Member>>;

  // Chains that other tools may have changed; ours that they took out are forgotten meanwhile.
  Chains lookAtChains(kj::WaitScope& scope, kj::Maybe<LinkRow> only = nullptr) {
    std::vector<LinkRow> hooks;
    for (auto& [key, row] : core.catalog.dispatchers()) {
      LinkRow hook = linkOn(chainHookOf(row));
      bool wanted = (row.engine == "libxdp" && row.hostNetns) || row.adopted != 0;
      KJ_IF_MAYBE (link, only) wanted &= hook.kind == link->kind && hook.nsid == link->nsid && hook.ifindex == link->ifindex;
      if (wanted) hooks.push_back(kj::mv(hook));
    }
    Chains chains;
    for (auto& link : hooks) chains[{"xdp", link.nsid, link.ifindex}] = hookOf(link).hook.chainNow(core, link, scope);
    return chains;
  }

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

  void describeDispatcher(const DispatcherRow& row, const Chains& chains, schema::Dispatcher::Builder out) {
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
    out.setParked(row.parked);
    auto known = chains.find({row.type, row.nsid, row.ifindex});
    std::vector<Member> chain;
    if (known != chains.end()) {
      chain = known->second;
    } else {
      for (auto link : orderedOn(core, linkOn(chainHookOf(row)))) chain.emplace_back().link = link->id;
    }
    auto members = out.initMembers(chain.size());
    for (size_t i = 0; i < chain.size(); ++i) {
      members[i].setPosition(i);
      members[i].setInterface(row.interface.c_str());
      if (chain[i].foreign) {
        members[i].setForeign(true);
        members[i].setProgramId(chain[i].program);
        members[i].setProgramName(chain[i].name.c_str());
        members[i].setPriority(chain[i].priority);
        members[i].setProceedOn(chain[i].proceedOn);
      } else {
        describeMember(KJ_ASSERT_NONNULL(core.catalog.link(chain[i].link)), members[i]);
      }
    }
  }

  void describeMember(const LinkRow& link, schema::Dispatcher::Member::Builder out) {
    out.setProgramId(link.programId);
    KJ_IF_MAYBE (program, core.catalog.program(link.programId)) out.setProgramName(program->name.c_str());
    out.setProgramPinPath(pathOf(core.runtimeDir(), pinAt(wire::Dir::programs, link.programId)));
    out.setLinkId(link.id);
    out.setKernelLinkId(link.kernelLinkId);
    out.setLinkPinPath(pathOf(core.runtimeDir(), hookOf(link).hook.pinOf(link)));
    out.setPriority(link.priority);
    out.setProceedOn(link.proceedOn);
    describePairs(link.metadata, out.initMetadata(link.metadata.size()));
  }
};

}  // namespace

schema::Links::Client newLinks(Connection& connection) { return kj::heap<LinksServer>(connection); }
schema::Link::Client newLink(Connection& connection, uint32_t id, Narrowed narrowed) {
  return kj::heap<LinkServer>(connection, id, narrowed);
}

}  // namespace bpfman
