// One map: read element by element by the worker, or handed over as a descriptor.
#include <linux/bpf.h>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/clock.h"
#include "frontend/describe.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"
#include "frontend/tickets.h"

namespace bpfman {

namespace {

class HandedOver final : public schema::Descriptor::Server {  // the descriptor is closed when the client lets go of it
 public:
  HandedOver(Connection& connection, kj::AutoCloseFd descriptor) : connection(connection), descriptor(kj::mv(descriptor)) {
    ++connection.descriptors;
  }
  ~HandedOver() noexcept(false) { --connection->descriptors; }
  kj::Maybe<int> getFd() override { return descriptor.get(); }

 private:
  Holding connection;
  kj::AutoCloseFd descriptor;
};

class MapServer final : public schema::Map::Server {
 public:
  MapServer(Connection& connection, uint32_t load, uint32_t index, Narrowed narrowed)
      : connection(connection, narrowed), core(connection.core), load(load), index(index) {}

  kj::Promise<void> info(InfoContext context) override {
    connection->rights.requireView();
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      auto reply = inspect(scope);
      describe(core, infoOf<bpf_map_info>(reply), context.getResults().initKernel());
      context.getResults().setName(rowOf().name.c_str());
    });
  }

  kj::Promise<void> lookup(LookupContext context) override {
    require(MapRight::read);
    return connection.read([this, context](kj::WaitScope& scope) mutable {
      auto key = context.getParams().getKey();
      requireKey(key.size());
      auto place = core.workers.host(scope);
      auto reply = place->worker.call(wire::Op::lookup, wire::Element{pin(), static_cast<uint32_t>(key.size()), 0, 0, 0}, key).wait(scope);
      requireSize(reply, key.size(), scope);
      context.getResults().setFound(reply.result == 0);
      if (reply.result == -ENOENT) return;
      requireOk(reply, "look up an element");
      context.getResults().setValue(reply.tail);
    });
  }

  kj::Promise<void> read(ReadContext context) override {
    require(MapRight::read);
    return connection.read([this, context](kj::WaitScope& scope) mutable { readElements(context, scope); });
  }

  kj::Promise<void> narrow(NarrowContext context) override {
    auto narrowing = connection.narrow(context.getParams().getNarrowing());
    context.getResults().setMap(newMap(*connection, load, index, *narrowing));
    context.getResults().setRevoker(newRevoker(*connection, *narrowing));
    return kj::READY_NOW;
  }

  kj::Promise<void> descriptor(DescriptorContext context) override { return handOver(context.getParams().getAccess(), context); }

  kj::Promise<void> iterate(IterateContext context) override { return handOver(schema::Map::Access::ELEMENTS, context); }

  kj::Promise<void> ticket(TicketContext context) override {
    auto access = context.getParams().getAccess();
    requireHandOver(access);
    connection->requireCapabilities(1);
    auto holder = kj::heap<MapServer>(*connection, load, index, connection.narrowed());  // it is redeemed as if this one were asked
    auto open = [holder = kj::mv(holder), access](kj::WaitScope& scope) mutable { return holder->redeem(access, scope); };
    auto now = core.io.provider->getTimer().now();
    auto bytes = core.tickets.issue(connection->identity.peer, now, kj::mv(open));
    context.getResults().setTicket(kj::arrayPtr(bytes.data(), bytes.size()));
    return kj::READY_NOW;
  }

  kj::Promise<void> update(UpdateContext context) override {
    require(MapRight::write);
    return connection.change("update", [this, context](kj::WaitScope& scope, AuditLine& line) mutable {
      name(line);
      auto key = context.getParams().getKey(), value = context.getParams().getValue();
      requireKey(key.size() + value.size());
      auto element = kj::heapArray<kj::byte>(key.size() + value.size());
      memcpy(element.begin(), key.begin(), key.size());
      memcpy(element.begin() + key.size(), value.begin(), value.size());
      auto info = infoOf<bpf_map_info>(inspect(scope));
      if (holdsDescriptors(info.type)) refuse("elements of this map are kernel objects: they can't be set by bytes");
      wire::Element wish{pin(), static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size()), BPF_ANY, 0};
      auto place = core.workers.host(scope);
      auto reply = place->worker.call(wire::Op::update, wish, element).wait(scope);
      if (reply.result == -EINVAL)
        refuse("an element of this map has a key of ", info.key_size, " bytes and a value of ", info.value_size,
               " (per CPU, if it is a per-CPU map)");
      requireOk(reply, "set an element");
    });
  }

 private:
  Holding connection;
  Core& core;
  uint32_t load, index;

  static kj::StringPtr toDo(schema::Map::Access access) {
    switch (access) {
      case schema::Map::Access::READ: return ", to read"_kj;
      case schema::Map::Access::WRITE: return ", to write"_kj;
      case schema::Map::Access::ELEMENTS: return ", its elements to read"_kj;
      default: return ", to read and write"_kj;
    }
  }

  void requireHandOver(schema::Map::Access access) {
    bool elements = access == schema::Map::Access::ELEMENTS;  // which can't be written through: the map itself could, whatever was asked
    require(elements ? MapRight::read : MapRight::descriptor);
    if (!elements && access != schema::Map::Access::READ) require(MapRight::write);
    KJ_IF_MAYBE (narrowing, connection.narrowed()) {
      narrowing->requireLive();
      narrowing->requireDescriptor();
      if (!elements) narrowing->requireChange();
    }
  }

  template <typename Context>
  kj::Promise<void> handOver(schema::Map::Access access, Context context) {
    requireHandOver(access);
    return connection.audited("hand over", [this, context, access](kj::WaitScope& scope, AuditLine& line) mutable {
      name(line);
      line.what += toDo(access);
      connection->requireDescriptor(scope);
      context.getResults().setDescriptor(bpfman::handOver(*connection, open(access, scope)));
    });
  }

  kj::AutoCloseFd redeem(schema::Map::Access access, kj::WaitScope& scope) {
    AuditLine line{"hand over", {}, {}, {}, {}, {}, {}};
    kj::Maybe<kj::AutoCloseFd> descriptor;
    auto failure = kj::runCatchingExceptions([&]() {
      requireHandOver(access);
      name(line);
      line.what += kj::str(toDo(access), ", for a ticket").cStr();
      descriptor = open(access, scope);
    });
    KJ_IF_MAYBE (exception, failure) {
      connection->audit(line, exception->getDescription());
      kj::throwFatalException(kj::mv(*exception));
    }
    connection->audit(line, "ok");
    return kj::mv(KJ_ASSERT_NONNULL(descriptor));
  }

  kj::AutoCloseFd open(schema::Map::Access access, kj::WaitScope& scope) {
    auto descriptor = access == schema::Map::Access::ELEMENTS ? core.elements.open(pin(), infoOf<bpf_map_info>(inspect(scope)), scope)
                                                              : openMap(access, scope);
    KJ_IF_MAYBE (narrowing, connection.narrowed()) {
      narrowing->requireLive();  // revoked meanwhile
      narrowing->note({rowOf().id, access, wallClock()});
    }
    return descriptor;
  }

  kj::AutoCloseFd openMap(schema::Map::Access access, kj::WaitScope& scope) {
    uint32_t flags = access == schema::Map::Access::READ ? BPF_F_RDONLY : access == schema::Map::Access::WRITE ? BPF_F_WRONLY : 0;
    auto place = core.workers.host(scope);
    auto reply = place->worker.call(wire::Op::openObject, wire::OpenObject{pin(), flags, 0}).wait(scope);
    requireOk(reply, "open the map");
    return kj::mv(KJ_REQUIRE_NONNULL(reply.descriptor));
  }

  wire::Pin pin() const { return loadedMap(load, index); }

  // The worker would end on such a request; it is refused here first.
  static bool holdsDescriptors(uint32_t type) {
    switch (type) {
      case BPF_MAP_TYPE_ARRAY:
      case BPF_MAP_TYPE_HASH:
      case BPF_MAP_TYPE_PERCPU_ARRAY:
      case BPF_MAP_TYPE_PERCPU_HASH:
      case BPF_MAP_TYPE_LRU_HASH:
      case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      case BPF_MAP_TYPE_LPM_TRIE:
      case BPF_MAP_TYPE_QUEUE:
      case BPF_MAP_TYPE_STACK:
      case BPF_MAP_TYPE_BLOOM_FILTER: return false;
      default: return true;
    }
  }

  const MapRow& rowOf() const {
    KJ_IF_MAYBE (row, core.catalog.load(load))
      for (const MapRow& map : row->maps)
        if (map.index == index) return map;
    refuse("this map's program was unloaded");
  }

  void name(AuditLine& line) const {
    line.maps = {rowOf().id};
    line.what = rowOf().name;
    for (auto program : core.catalog.programsOf(load)) line.programs.push_back(program->id);
  }

  void require(MapRight right) const {
    rowOf();
    connection->rights.requireMap(right, KJ_ASSERT_NONNULL(core.catalog.load(load)).uid);
  }

  static void requireKey(size_t bytes) {
    if (bytes > wire::MAX_MESSAGE / 2)
      refuse("an element of ", bytes, " bytes: at most ", wire::MAX_MESSAGE / 2, " go over the RPC; ask for the map's descriptor");
  }

  WorkerReply inspect(kj::WaitScope& scope) const {
    rowOf();
    auto place = core.workers.host(scope);
    auto reply = place->worker.call(wire::Op::inspect, pin()).wait(scope);
    requireOk(reply, "look at the map");
    return reply;
  }

  void requireSize(const WorkerReply& reply, size_t size, kj::WaitScope& scope) const {
    if (reply.result != -EINVAL) return;
    auto info = infoOf<bpf_map_info>(inspect(scope));
    if (info.key_size != size) refuse("a key of this map has ", info.key_size, " bytes, not ", size);
    refuse("this map can't be read element by element over the RPC; ask for its descriptor");
  }

  void readElements(ReadContext& context, kj::WaitScope& scope) {
    auto params = context.getParams();
    uint32_t limit = params.getLimit();
    if (limit == 0 || limit > limits::MAP_READ_ENTRIES) refuse("limit ", limit, ": give 1 to ", limits::MAP_READ_ENTRIES);
    auto after = params.getAfter();
    requireKey(after.size());
    auto info = infoOf<bpf_map_info>(inspect(scope));
    wire::ReadMap wish{pin(), info.key_size, info.value_size, after.size() > 0, 0};
    if (after.size() > 0 && after.size() != info.key_size) refuse("a key of this map has ", info.key_size, " bytes, not ", after.size());
    auto place = core.workers.host(scope);
    auto reply = place->worker.call(wire::Op::readMap, wish, after).wait(scope);
    requireSize(reply, info.key_size, scope);
    size_t got = requireOk(reply, "read the map");
    size_t count = kj::min(got, limit);
    auto out = context.getResults().initEntries(count);
    size_t entry = got == 0 ? 0 : reply.tail.size() / got;
    for (size_t i = 0; i < count; ++i) {
      auto element = reply.tail.slice(i * entry, (i + 1) * entry);
      out[i].setKey(element.slice(0, info.key_size));
      out[i].setValue(element.slice(info.key_size, element.size()));
    }
    context.getResults().setMore(count < got || (got + 1) * entry > wire::MAX_MESSAGE / 2);  // the worker stops when no other fits
  }
};

class RevokerServer final : public schema::Revoker::Server {
 public:
  RevokerServer(Connection& connection, Narrowing& narrowing) : connection(connection), narrowing(kj::addRef(narrowing)) {}

  kj::Promise<void> revoke(RevokeContext context) override {
    narrowing->revoke();
    auto& given = narrowing->handedOver();
    auto out = context.getResults().initHandedOver(given.size());
    for (size_t i = 0; i < given.size(); ++i) {
      out[i].setMapId(given[i].map);
      out[i].setProgramId(given[i].program);
      out[i].setAccess(given[i].access);
      out[i].setAt(given[i].at);
    }
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  kj::Own<Narrowing> narrowing;
};

}  // namespace

schema::Descriptor::Client handOver(Connection& connection, kj::AutoCloseFd descriptor) {
  return kj::heap<HandedOver>(connection, kj::mv(descriptor));
}

schema::Revoker::Client newRevoker(Connection& connection, Narrowing& narrowing) { return kj::heap<RevokerServer>(connection, narrowing); }

schema::Map::Client newMap(Connection& connection, uint32_t load, uint32_t index, Narrowed narrowed) {
  return kj::heap<MapServer>(connection, load, index, narrowed);
}

}  // namespace bpfman
