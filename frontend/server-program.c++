// One program: shown, attached, unloaded; its maps.
#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/describe.h"
#include "frontend/hook.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

std::string lockOf(uint32_t program) { return kj::str("program:", program).cStr(); }

ProgramRow rowOf(Core& core, uint32_t id) {
  KJ_IF_MAYBE (row, core.catalog.program(id)) return *row;
  refuse("program ", id, " does not exist");
}

uint32_t ownerOf(Core& core, const ProgramRow& program) {
  KJ_IF_MAYBE (load, core.catalog.load(program.load)) return load->uid;
  return 0;
}

kj::StringPtr interfaceOf(schema::Place::Reader place) {
  return place.isXdp() ? place.getXdp().getInterface() : place.isTcx() ? place.getTcx().getInterface() : capnp::Text::Reader("");
}

// Descriptors that came with a place. -1: none.
struct Passed {
  kj::AutoCloseFd netns, target, process;
};

kj::Promise<Passed> passedWith(schema::Place::Reader place) {
  auto passed = kj::heap<Passed>();
  kj::Vector<kj::Promise<void>> arriving;
  auto take = [&](bool there, auto client, kj::StringPtr what, kj::AutoCloseFd& to) {
    if (there) arriving.add(descriptorOf(client(), what).then([&to](kj::AutoCloseFd fd) { to = kj::mv(fd); }));
  };
  if (place.isXdp())
    take(
        place.getXdp().hasNetns(), [&]() { return place.getXdp().getNetns(); }, "the network namespace", passed->netns);
  if (place.isTcx())
    take(
        place.getTcx().hasNetns(), [&]() { return place.getTcx().getNetns(); }, "the network namespace", passed->netns);
  if (place.isCgroup())
    take(
        true, [&]() { return place.getCgroup().getCgroup(); }, "the cgroup", passed->target);
  if (place.isUprobe()) {
    auto uprobe = place.getUprobe();
    take(
        true, [&]() { return uprobe.getBinary(); }, "the binary", passed->target);
    take(
        uprobe.hasProcess(), [&]() { return uprobe.getProcess(); }, "the process", passed->process);
  }
  return kj::joinPromises(arriving.releaseAsArray()).then([passed = kj::mv(passed)]() mutable { return kj::mv(*passed); });
}

template <typename Result, typename Take>
kj::Maybe<Result> maybe(kj::AutoCloseFd& descriptor, Take take) {
  if (descriptor.get() < 0) return nullptr;
  return take(kj::mv(descriptor));
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
    ProgramRow program = rowOf(core, id);
    connection->rights.requireUnload(ownerOf(core, program));  // his own, or an administrator's: attaching changes what it does
    connection->requireCapabilities(1);
    auto place = params.getPlace();
    const HookType& type = KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(program.type)));
    if (type.place != place.which())
      refuse("program ", id, " is a ", typeName(type.type), " program; the ", nameOf(place.which()), " attach accepts ",
             nameOf(place.which()));
    KJ_IF_MAYBE (narrowing, connection.narrowed()) narrowing->requireInterface(interfaceOf(place));
    Pairs metadata = pairsFrom(params.getMetadata());
    std::string request = connection->requestKey(params.getRequestId());
    return passedWith(place).then([this, context, request, metadata = kj::mv(metadata), &type](Passed passed) mutable {
      auto netns = maybe<NamespaceTarget>(passed.netns, [&](kj::AutoCloseFd fd) { return core.intake.networkNamespace(kj::mv(fd)); });
      auto process = maybe<ProcessTarget>(passed.process, [&](kj::AutoCloseFd fd) { return core.intake.process(kj::mv(fd)); });
      return connection.change("attach",
                               [this, context, request, metadata = kj::mv(metadata), netns = kj::mv(netns), target = kj::mv(passed.target),
                                process = kj::mv(process), &type](kj::WaitScope& scope, AuditLine& line) mutable {
                                 line.programs = {id};
                                 line.request = request;
                                 auto turn = core.locks.take(lockOf(id), scope);
                                 LinkRow link;
                                 KJ_IF_MAYBE (before, madeBefore(request)) {
                                   link = *before;
                                   line.what = "again: ";
                                 } else {
                                   AttachWish wish{rowOf(core, id),
                                                   context.getParams().getPlace(),
                                                   kj::mv(netns),
                                                   kj::mv(target),
                                                   kj::mv(process),
                                                   kj::mv(metadata),
                                                   connection->rights,
                                                   connection->uid(),
                                                   request};
                                   link = type.hook.attach(core, wish, scope);
                                 }
                                 line.links = {link.id};
                                 line.what += link.interface.empty() ? link.target : link.interface;
                                 auto results = context.getResults();
                                 results.setLink(newLink(*connection, link.id, connection.narrowed()));
                                 describeLink(core, link.id, results.initDetails(), scope);
                               });
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
  auto turn = core.locks.take(lockOf(id), scope);
  const ProgramRow program = rowOf(core, id);
  std::vector<LinkRow> links;
  for (auto link : core.catalog.linksOf(id)) links.push_back(*link);
  for (auto& link : links) {
    auto failure = kj::runCatchingExceptions([&]() { hookOf(link).hook.detach(core, link, scope); });
    KJ_IF_MAYBE (exception, failure)  // unless somebody else detached it at the same time
      if (core.catalog.link(link.id) != nullptr) kj::throwFatalException(kj::mv(*exception));
  }
  for (auto& link : links)
    if (!hookOf(link).hook.kernelLinkIsOwn())
      core.engines.of(program).settle({"xdp", link.nsid, link.ifindex, link.interface, link.netnsPath, link.hostNetns}, scope);
  core.loads.removeProgram(id, scope);
}

void detachLink(Core& core, uint32_t id, kj::WaitScope& scope) {
  KJ_IF_MAYBE (row, core.catalog.link(id)) {
    LinkRow link = *row;
    hookOf(link).hook.detach(core, link, scope);
  } else {
    refuse("link ", id, " does not exist");
  }
}

}  // namespace bpfman
