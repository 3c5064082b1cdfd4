// The engine that keeps to the libxdp protocol: a dispatcher whose positions are functions that the members replace (freplace), pinned
// where libxdp looks for them, under its lock. Each change builds a whole new dispatcher beside the old one; one atomic swap on the
// interface makes it the one that runs. Programs that other tools put there are members too: they are carried over, never changed.
//
// On the host's interfaces the dispatcher is attached by netlink, as the protocol wants it, so that other tools can swap it as well. In
// other network namespaces it is attached by a link, which we can swap without entering them again: there libxdp's tools see it, but can't
// change it.
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "dispatchers/objects.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/libxdp-chain.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr const char* TARGET = "xdp-target";              // purpose of what members are verified against, at load
constexpr const char* DISPATCHER = "dispatcher:libxdp:";  // and where it is

std::string purposeOf(const ChainHook& hook) { return kj::str(DISPATCHER, hook.nsid, ':', hook.ifindex).cStr(); }

class LibxdpEngine final : public ChainEngine {
 public:
  LibxdpEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker)
      : catalog(catalog), workers(workers), loads(loads), broker(broker) {}

  kj::StringPtr name() const override { return "libxdp"; }
  kj::StringPtr reason() const override { return why; }
  uint32_t capacity() const override { return XDP_MULTI_POSITIONS; }
  kj::Maybe<Extension> extension() const override { return target; }

  kj::StringPtr noCounters() const override { return "engine libxdp has no counters: the libxdp protocol lays its dispatcher down"; }
  void count(const ChainHook&, Counting, kj::WaitScope&) override { KJ_FAIL_REQUIRE("no counters"); }
  ChainCounts counts(const ChainHook&, kj::WaitScope&) override { return {}; }

  // Tries what members need: loads the dispatcher, and itself once more as the replacement of one of its own functions.
  bool start(kj::WaitScope& scope) override {
    auto failure = kj::runCatchingExceptions([&]() {
      removeLoads(TARGET, scope);
      std::vector<LibxdpMember> all(capacity());  // the kernel drops positions that are not in use
      auto base = loadDispatcher(all, XDP_MULTI_VERSION, TARGET, nullptr, scope);
      target = Extension{base.load, functionId(base, "prog0")};
      auto tried = loadDispatcher({}, XDP_MULTI_VERSION, "xdp-try", target, scope);
      loads.undo(tried.load, scope);
      broker.shareXdp().wait(scope);
    });
    KJ_IF_MAYBE (exception, failure) {
      target = nullptr;
      removeLoads(TARGET, scope);
      kj::StringPtr text = exception->getDescription();
      size_t line = text.findFirst('\n').orDefault(text.size());  // without the verifier's log
      why = kj::str("no freplace here: ", text.slice(0, line));
      return false;
    }
    why = kj::str("this kernel lets programs replace functions of others (freplace)");
    return true;
  }

  Present look(const ChainHook& hook, const std::vector<OursInChain>& ours, kj::WaitScope& scope) override {
    Present present = running(hook, scope);
    if (!hook.host || present.missing) return present;  // a link of ours holds it, so nobody else gets in; or there is nothing to get into
    if (present.program != 0) readMembers(hook, ours, present, scope);
    bool any = false;
    for (auto& mine : ours) {
      bool here = std::ranges::find(present.programs, mine.program) != present.programs.end();
      any |= here;
      if (mine.attached && !here) present.gone.push_back(mine.link);
    }
    if (any) follow(hook, present, scope);
    return present;
  }

  void adopt(const ChainHook& hook, Present& present, int32_t, kj::WaitScope&) override {
    if (present.foreign)
      refuse("program ", present.program, " on ", hook.interface.c_str(),
             " can't be adopted by engine libxdp: a program that is loaded can't become an extension of a dispatcher any more. Engine "
             "tailcall "
             "can take it: load yours with --engine tailcall");
  }

  Applied apply(const ChainHook& hook, Present& present, const ChainWish& wish, kj::Maybe<Place&> place, kj::WaitScope& scope) override {
    auto& members = wish.members;
    kj::Maybe<DispatcherRow> old;
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) old = DispatcherRow(*row);
    if ((members.empty() && !wish.stays) || present.missing) {
      takeAway(hook, present, old, scope);
      return {};
    }
    if (present.foreign)
      refuse("interface ", hook.interface.c_str(), " has an XDP program that is no dispatcher (id ", present.program,
             "): it is left alone. Detach it (ip link set dev ", hook.interface.c_str(),
             " xdp off), attach it by a tool that keeps to the libxdp protocol, or let it become a member of the chain (link attach xdp … "
             "--adopt, of a program loaded with --engine tailcall)");
    if (hook.host && unchanged(present, members)) return {kj::mv(old), {}};
    Applied applied = build(hook, members, versionFor(present), scope);
    DispatcherRow& made = KJ_ASSERT_NONNULL(applied.row);
    auto failure = kj::runCatchingExceptions([&]() { swap(hook, present, old, made, place, scope); });
    KJ_IF_MAYBE (exception, failure) {
      dismantle(hook.ifindex, made.programId, scope);
      loads.undo(made.load, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    bool ours = wish.stays;
    for (auto& member : members) ours |= member.link != 0;
    KJ_IF_MAYBE (row, old) made.revision = row->revision + 1, made.parked = row->parked;
    if (ours) catalog.put(made);  // before the old one goes: whoever starts next knows which runs
    uint32_t load = made.load;
    untilAWorkerLives(workers, scope, [&]() {  // the change has happened: a death now must not make it a failure
      if (present.program != 0) dismantle(hook.ifindex, present.program, scope);
      KJ_IF_MAYBE (row, old)
        if (row->load != 0) loads.undo(row->load, scope);
      if (!ours) loads.undo(load, scope);  // theirs alone: pins and interface hold it, as if they had made it
    });
    if (!ours) { applied.row = nullptr; }
    return applied;
  }

  // A death between the swap and the catalogue leaves the catalogue behind: what runs on the interface decides.
  void recover(kj::WaitScope& scope) override {
    std::vector<LoadRow> all;
    for (auto& [id, load] : catalog.loads())
      if (load.own && load.state == LoadRow::loaded && load.purpose.rfind(DISPATCHER, 0) == 0) all.push_back(load);
    for (auto& load : all) {
      auto programs = catalog.programsOf(load.load);
      ChainHook hook{"xdp", 0, 0, "", "", false};
      if (programs.empty() || sscanf(load.purpose.c_str() + strlen(DISPATCHER), "%lu:%u", &hook.nsid, &hook.ifindex) != 2) continue;
      hook.host = workers.isHost(hook.nsid);
      recoverOne(hook, load, programs[0]->id, scope);
    }
  }

  void settle(const ChainHook&, kj::WaitScope&) override {}

 private:
  Catalog& catalog;
  Workers& workers;
  Loads& loads;
  BrokerChannel& broker;
  kj::Maybe<Extension> target;
  kj::String why;

  static uint32_t functionId(const LoadOutcome& dispatcher, const std::string& name) {
    auto found = dispatcher.functions.find(name);
    KJ_REQUIRE(found != dispatcher.functions.end(), "the dispatcher has no such function", name.c_str());
    return found->second;
  }

  // A tool that made a dispatcher of another version can still change its successor.
  static uint32_t versionFor(const Present& present) { return present.others.empty() ? XDP_MULTI_VERSION : present.protocol; }

  LoadOutcome loadDispatcher(std::span<const LibxdpMember> members, uint32_t version, const std::string& purpose,
                             kj::Maybe<Extension> extension, kj::WaitScope& scope) {
    auto config = libxdpConfigFor(members);
    LoadWish wish;
    wish.purpose = purpose;
    wish.maxMapBytes = 1 << 20;
    wish.listFunctions = true;
    wish.extension = extension;
    wish.globals.emplace_back("conf", libxdpBytes(config, version));
    wish.programs.push_back({0, "xdp_dispatcher", "", "xdp", BPF_PROG_TYPE_XDP, BPF_XDP});
    if (!members.empty() && config.frags && version > 1) wish.programs[0].flags = BPF_F_XDP_HAS_FRAGS;
    auto object = xdpLibxdpDispatcher(version);
    LoadOutcome outcome = loads.loadOwn(wish, kj::arrayPtr(object.data(), object.size()), scope);
    KJ_IF_MAYBE (refused, outcome.refused)
      refuse("this kernel refuses the XDP dispatcher: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());
    return outcome;
  }

  void removeLoads(const std::string& purpose, kj::WaitScope& scope) {
    std::vector<uint32_t> old;
    for (auto& [id, row] : catalog.loads())
      if (row.own && row.purpose == purpose) old.push_back(id);
    for (uint32_t load : old) loads.undo(load, scope);
  }

  Present running(const ChainHook& hook, kj::WaitScope& scope) {
    Present present;
    auto place = workers.host(scope);
    if (!hook.host) {
      auto reply = place->worker.call(wire::Op::inspect, wire::Inspect{dispatcherLinkPin(hook)}).wait(scope);
      if (reply.result >= 0) present.program = infoOf<bpf_link_info>(reply).prog_id;
      return present;
    }
    present.lock = broker.shareXdp().wait(scope);
    static_cast<RunningXdp&>(present) = runningXdp(*place, hook.ifindex);
    return present;
  }

  // Another tool made a new dispatcher that has our members too: that is the one that we keep from now on.
  void follow(const ChainHook& hook, const Present& present, kj::WaitScope& scope) {
    KJ_IF_MAYBE (known, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
      if (known->programId == present.program) return;
      DispatcherRow row = *known;
      uint32_t load = row.load, previous = row.programId;
      row.load = 0;
      row.programId = present.program;
      ++row.revision;
      catalog.put(row);
      dismantle(hook.ifindex, previous, scope);
      if (load != 0) loads.undo(load, scope);
    }
  }

  void readMembers(const ChainHook& hook, const std::vector<OursInChain>& ours, Present& present, kj::WaitScope& scope) {
    auto held = workers.host(scope);
    Place& place = *held;
    auto config = libxdpConfigOf(present.program, place, scope);
    KJ_IF_MAYBE (c, config) {
      present.protocol = c->version;
      if (c->version == 0) present.locked = "has a dispatcher of a newer version of the libxdp protocol";
      if (c->deviceBound) present.locked = "has a dispatcher that is bound to the device, to which only programs that are too can be added";
      std::vector<kj::Promise<WorkerReply>> seen;
      for (uint32_t i = 0; i < c->members.size(); ++i)
        seen.push_back(
            place.worker.call(wire::Op::inspect, wire::Inspect{pinAt(wire::Dir::xdpPrograms, hook.ifindex, present.program, i)}));
      for (uint32_t i = 0; i < c->members.size(); ++i) {
        auto reply = seen[i].wait(scope);
        if (reply.result < 0) {
          present.locked = "has a dispatcher with a program that is not pinned where the libxdp protocol says, and would be lost";
          continue;
        }
        auto info = infoOf<bpf_prog_info>(reply);
        present.programs.push_back(info.id);
        present.running.push_back(c->members[i]);
        bool mine = false;
        for (auto& each : ours) mine |= each.program == info.id;
        if (!mine)
          present.others.push_back({info.id, std::string(info.name, strnlen(info.name, sizeof info.name)), c->members[i].priority,
                                    c->members[i].proceedOn, c->members[i].frags,
                                    pinAt(wire::Dir::xdpPrograms, hook.ifindex, present.program, i)});
      }
    } else {
      present.foreign = true;
    }
  }

  // One that was to leave is gone already: what is there may stay, whoever made it.
  static bool unchanged(const Present& present, const std::vector<ChainMember>& members) {
    if (present.program == 0 || !std::ranges::equal(present.programs, members, {}, {}, &ChainMember::program)) return false;
    auto config = libxdpConfigFor(libxdpMembers(members));
    for (size_t i = 0; i < members.size(); ++i)
      if (config.proceed[i] != present.running[i].proceedOn || config.priorities[i] != present.running[i].priority) return false;
    return true;
  }

  static std::vector<LibxdpMember> libxdpMembers(const std::vector<ChainMember>& members) {
    std::vector<LibxdpMember> result;
    for (auto& member : members) result.push_back({member.name, member.priority, member.proceedOn, member.frags});
    return result;
  }

  // Members are linked and pinned before anybody sees the dispatcher: none can come loose when we die.
  Applied build(const ChainHook& hook, const std::vector<ChainMember>& members, uint32_t version, kj::WaitScope& scope) {
    auto wanted = libxdpMembers(members);
    LoadOutcome outcome = loadDispatcher(wanted, version, purposeOf(hook), nullptr, scope);
    DispatcherRow row;
    row.type = hook.type, row.nsid = hook.nsid, row.ifindex = hook.ifindex, row.revision = 1;
    row.load = outcome.load, row.programId = outcome.programs[0], row.engine = "libxdp";
    row.netnsPath = hook.netnsPath, row.interface = hook.interface, row.hostNetns = hook.host;
    std::vector<uint32_t> links;
    auto failure = kj::runCatchingExceptions([&]() {
      auto place = workers.host(scope);
      std::vector<kj::Promise<WorkerReply>> pinned, linked;
      for (uint32_t i = 0; i < members.size(); ++i) {
        wire::Pin program = members[i].pin();
        pinned.push_back(
            place->worker.call(wire::Op::publish, wire::Publish{program, pinAt(wire::Dir::xdpPrograms, hook.ifindex, row.programId, i)}));
        wire::CreateLink link{};
        link.program = program;
        link.to = pinAt(wire::Dir::xdpLinks, hook.ifindex, row.programId, i);
        link.kind = wire::LinkKind::freplace;
        link.target = loadedProgram(row.load, 0);
        link.relative = functionId(outcome, standsAlone(wanted) ? "xdp_dispatcher" : kj::str("prog", i).cStr());
        linked.push_back(place->worker.call(wire::Op::createLink, link));
      }
      for (auto& pin : pinned) requireOk(pin.wait(scope), "pin a member where libxdp looks for it");
      for (auto& link : linked) links.push_back(requireOk(link.wait(scope), "put a member into the dispatcher"));
    });
    KJ_IF_MAYBE (exception, failure) {
      dismantle(hook.ifindex, row.programId, scope);
      loads.undo(row.load, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    return {kj::mv(row), std::move(links)};
  }

  void swap(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, DispatcherRow& made, kj::Maybe<Place&> place,
            kj::WaitScope& scope) {
    auto host = workers.host(scope);
    if (hook.host) {
      setXdp(hook, present, old, made, *host, scope);
    } else if (old != nullptr) {
      made.kernelLinkId = KJ_ASSERT_NONNULL(old).kernelLinkId;
      wire::UpdateLink update{dispatcherLinkPin(hook), loadedProgram(made.load, 0)};
      requireOk(host->worker.call(wire::Op::updateLink, update).wait(scope), "swap the dispatcher");
    } else {
      wire::CreateLink link{};
      link.program = loadedProgram(made.load, 0);
      link.to = dispatcherLinkPin(hook);
      link.kind = wire::LinkKind::xdp;
      link.attachType = BPF_XDP;
      link.interface = hook.ifindex;
      auto& there = KJ_REQUIRE_NONNULL(place, "a new dispatcher needs its namespace");
      made.kernelLinkId = requireAttached(hook, there.worker.call(wire::Op::createLink, link).wait(scope));
    }
  }

  int64_t requireAttached(const ChainHook& hook, WorkerReply reply) {
    if (reply.result == -EBUSY || reply.result == -EEXIST)
      refuse("interface ", hook.interface.c_str(),
             " has another XDP program than a moment ago, or one whose owner lets nobody replace it (attached by a link); see 'bpfman "
             "overview'");
    if (reply.result == -EINVAL || reply.result == -EOPNOTSUPP || reply.result == -ERANGE)
      refuse("interface ", hook.interface.c_str(), " does not take this chain (", kernelReason(reply.result),
             "): with a large MTU all of its programs have to be of the kind xdp.frags");
    return requireOk(reply, kj::str("attach XDP to ", hook.interface.c_str()));
  }

  // made 0: nothing. What runs there now is named, so that nobody else's change is lost.
  void setXdp(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, kj::Maybe<DispatcherRow&> made, Place& host,
              kj::WaitScope& scope) {
    XdpSwap swap;
    KJ_IF_MAYBE (row, made) swap.program = loadedProgram(row->load, 0);
    KJ_IF_MAYBE (row, old)
      if (row->programId == present.program && row->load != 0) swap.expected = loadedProgram(row->load, 0);
    requireAttached(hook, swapXdp(host, broker, hook.ifindex, present, swap, scope));
  }

  // The last member left. An interface that is gone took its program along.
  void takeAway(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, kj::WaitScope& scope) {
    KJ_IF_MAYBE (row, old) {
      auto host = workers.host(scope);
      if (!hook.host)
        requireOk(host->worker.call(wire::Op::remove, wire::Remove{dispatcherLinkPin(hook)}).wait(scope), "detach the dispatcher");
      else if (present.program == row->programId)
        setXdp(hook, present, old, nullptr, *host, scope);
      dismantle(hook.ifindex, row->programId, scope);
      if (row->load != 0) loads.undo(row->load, scope);
    }
  }

  // Takes the pins of a dispatcher that does not run, or no longer; with the last of them its directory goes.
  void dismantle(uint32_t ifindex, uint32_t program, kj::WaitScope& scope) {
    auto host = workers.host(scope);
    std::vector<kj::Promise<WorkerReply>> replies;
    for (uint32_t i = 0; i < XDP_MULTI_POSITIONS; ++i)
      for (auto dir : {wire::Dir::xdpLinks, wire::Dir::xdpPrograms})
        replies.push_back(host->worker.call(wire::Op::remove, wire::Remove{pinAt(dir, ifindex, program, i)}));
    for (auto& reply : replies) requireOk(reply.wait(scope), "remove a dispatcher's pins");
  }

  void recoverOne(ChainHook& hook, const LoadRow& load, uint32_t program, kj::WaitScope& scope) {
    Present present = running(hook, scope);
    bool runs = present.program == program;
    kj::Maybe<DispatcherRow> known;
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) known = DispatcherRow(*row);
    KJ_IF_MAYBE (row, known) {
      if (row->load == load.load) return;
      if (runs) {
        spdlog::info("the dispatcher on {} was swapped when bpfman ended: the new one is kept", row->interface);
        uint32_t previous = row->programId;
        row->load = load.load;
        row->programId = program;
        ++row->revision;
        catalog.put(*row);
        dismantle(hook.ifindex, previous, scope);
        return;
      }
    } else if (runs && hook.host) {  // a first one, of which nothing was written down
      kj::Maybe<DispatcherRow> mine = DispatcherRow();
      KJ_IF_MAYBE (row, mine) row->load = load.load, row->programId = program;
      setXdp(hook, present, mine, nullptr, *workers.host(scope), scope);
    }
    dismantle(hook.ifindex, program, scope);  // its load goes with the others that nobody uses
  }
};

}  // namespace

kj::Own<ChainEngine> newLibxdpEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker) {
  return kj::heap<LibxdpEngine>(catalog, workers, loads, broker);
}

}  // namespace bpfman
