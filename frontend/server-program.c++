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

// The descriptor of a network namespace that came with a place; none: the host's.
kj::Promise<kj::Maybe<NamespaceTarget>> namespaceFrom(Core& core, schema::Place::Reader place) {
  kj::Maybe<schema::Descriptor::Client> client;
  if (place.isXdp() && place.getXdp().hasNetns()) client = place.getXdp().getNetns();
  if (place.isTcx() && place.getTcx().hasNetns()) client = place.getTcx().getNetns();
  KJ_IF_MAYBE (c, client)
    return descriptorOf(kj::mv(*c), "the network namespace").then([&core](kj::AutoCloseFd fd) -> kj::Maybe<NamespaceTarget> {
      return core.intake.networkNamespace(kj::mv(fd));
    });
  return kj::Maybe<NamespaceTarget>(nullptr);
}

class ProgramServer final : public schema::Program::Server {
 public:
  ProgramServer(kj::Own<Connection> connection, uint32_t id) : connection(kj::mv(connection)), core(this->connection->core), id(id) {}

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    return connection->read(
        [this, context](kj::WaitScope& scope) mutable { describeProgram(core, id, context.getResults().initDetails(), scope); });
  }

  kj::Promise<void> attach(AttachContext context) override {
    auto params = context.getParams();
    ProgramRow program = rowOf(core, id);
    connection->rights.requireUnload(ownerOf(core, program));  // his own, or an administrator's: attaching changes what it does
    auto place = params.getPlace();
    const HookType& type = KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(program.type)));
    if (type.place != place.which())
      refuse("program ", id, " is a ", typeName(type.type), " program; the ", nameOf(place.which()), " attach accepts ",
             nameOf(place.which()));
    Pairs metadata = pairsFrom(params.getMetadata());
    return namespaceFrom(core, place).then([this, context, metadata = kj::mv(metadata), &type](kj::Maybe<NamespaceTarget> netns) mutable {
      return connection->run([this, context, metadata = kj::mv(metadata), netns = kj::mv(netns), &type](kj::WaitScope& scope) mutable {
        auto turn = core.locks.take(lockOf(id), scope);
        AttachWish wish{rowOf(core, id),  context.getParams().getPlace(), kj::mv(netns), kj::mv(metadata), connection->rights,
                        connection->uid()};
        LinkRow link = type.hook.attach(core, wish, scope);
        spdlog::info("uid {} attached program {} as link {}", connection->uid(), id, link.id);
        auto results = context.getResults();
        results.setLink(newLink(kj::addRef(*connection), link.id));
        describeLink(core, link.id, results.initDetails(), scope);
      });
    });
  }

  kj::Promise<void> unload(UnloadContext context) override {
    connection->rights.requireUnload(ownerOf(core, rowOf(core, id)));
    return connection->run([this](kj::WaitScope& scope) {
      unloadProgram(core, id, scope);
      spdlog::info("uid {} unloaded program {}", connection->uid(), id);
    });
  }

  kj::Promise<void> maps(MapsContext context) override {
    ProgramRow program = rowOf(core, id);
    connection->rights.requireView();
    const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(program.load));
    auto out = context.getResults().initMaps(load.maps.size());
    for (size_t i = 0; i < load.maps.size(); ++i) {
      out[i].setName(load.maps[i].name.c_str());
      out[i].setId(load.maps[i].id);
      out[i].setMap(newMap(kj::addRef(*connection), program.load, load.maps[i].index));
    }
    return kj::READY_NOW;
  }

 private:
  kj::Own<Connection> connection;
  Core& core;
  uint32_t id;
};

}  // namespace

schema::Program::Client newProgram(kj::Own<Connection> connection, uint32_t id) { return kj::heap<ProgramServer>(kj::mv(connection), id); }

void unloadProgram(Core& core, uint32_t id, kj::WaitScope& scope) {
  auto turn = core.locks.take(lockOf(id), scope);
  rowOf(core, id);
  std::vector<LinkRow> links;
  for (auto link : core.catalog.linksOf(id)) links.push_back(*link);
  for (auto& link : links) {
    auto failure = kj::runCatchingExceptions([&]() { hookOf(link).hook.detach(core, link, scope); });
    KJ_IF_MAYBE (exception, failure)  // unless somebody else detached it at the same time
      if (core.catalog.link(link.id) != nullptr) kj::throwFatalException(kj::mv(*exception));
  }
  for (auto& link : links)
    if (!hookOf(link).hook.kernelLinkIsOwn())
      core.engine.settle({"xdp", link.nsid, link.ifindex, link.interface, link.netnsPath, link.hostNetns}, scope);
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
