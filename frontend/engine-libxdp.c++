// The engine that keeps to the libxdp protocol: members and their links are pinned where libxdp looks for them, under its lock. Programs
// that other tools put there are members too: they are carried over, never changed.
//
// On the host's interfaces the dispatcher is attached by netlink, as the protocol wants it, so that other tools can swap it as well. In
// other network namespaces it is attached by a link, which we can swap without entering them again, and so it is on interfaces that the
// policy calls exclusive: there libxdp's tools see it, but can't change it.
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

#include <kj/debug.h>

#include "dispatchers/objects.h"
#include "frontend/libxdp-chain.h"
#include "frontend/refuse.h"
#include "frontend/replacing-engine.h"

namespace bpfman {

namespace {

class LibxdpEngine final : public ReplacingEngine {
 public:
  LibxdpEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, const Policy& policy)
      : ReplacingEngine(catalog, workers, loads, broker, {"xdp", "xdp_dispatcher", BPF_PROG_TYPE_XDP, BPF_XDP}, KINDS), policy(policy) {}

  kj::StringPtr name() const override { return "libxdp"; }
  uint32_t capacity() const override { return XDP_MULTI_POSITIONS; }
  kj::StringPtr noCounters() const override { return "engine libxdp has no counters: the libxdp protocol lays its dispatcher down"; }

  Present look(const ChainHook& hook, const std::vector<OursInChain>& ours, kj::WaitScope& scope) override {
    Present present = running(hook, scope);
    if (present.missing) return present;
    if (!isShared(hook)) return alone(hook, ours, kj::mv(present));  // a link of ours holds it, so nobody else gets in
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
             "tailcall can take it: load yours with --engine tailcall");
  }

 private:
  static constexpr Kind KINDS[] = {{"xdp", "libxdp"}};
  const Policy& policy;

  // With other tools, by netlink. A dispatcher that is attached stays as it is, whatever the policy says meanwhile.
  bool isShared(const ChainHook& hook) const {
    if (!hook.host) return false;
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) return row->kernelLinkId == 0;
    return !policy.isExclusive(hook.interface);
  }

  void requireMore(kj::WaitScope& scope) override { broker.shareXdp().wait(scope); }

  // A tool that made a dispatcher of another version can still change its successor.
  Image imageFor(std::span<const ChainMember> members, const Present& present) const override {
    uint32_t version = present.others.empty() ? XDP_MULTI_VERSION : present.protocol;
    auto config = libxdpConfigFor(libxdpMembers(members));
    bool frags = !members.empty() && config.frags && version > 1;
    return {xdpLibxdpDispatcher(version), libxdpBytes(config, version), frags ? BPF_F_XDP_HAS_FRAGS : 0};
  }

  kj::String functionFor(std::span<const ChainMember> members, size_t position) const override {
    if (standsAlone(libxdpMembers(members))) return kj::str("xdp_dispatcher");
    return ReplacingEngine::functionFor(members, position);
  }

  wire::Pin linkPin(const ChainHook& hook, uint32_t program, uint32_t position) const override {
    return pinAt(wire::Dir::xdpLinks, hook.ifindex, program, position);
  }

  kj::Maybe<wire::Pin> programPin(const ChainHook& hook, uint32_t program, uint32_t position) const override {
    return pinAt(wire::Dir::xdpPrograms, hook.ifindex, program, position);
  }

  void requireTakes(const ChainHook& hook, const Present& present) override {
    if (present.foreign)
      refuse("interface ", hook.interface.c_str(), " has an XDP program that is no dispatcher (id ", present.program,
             "): it is left alone. Detach it (ip link set dev ", hook.interface.c_str(),
             " xdp off), attach it by a tool that keeps to the libxdp protocol, or let it become a member of the chain (link attach xdp … "
             "--adopt, of a program loaded with --engine tailcall)");
  }

  Present running(const ChainHook& hook, kj::WaitScope& scope) override {
    Present present;
    if (hook.host) present.lock = broker.shareXdp().wait(scope);  // also where pins only are shared
    if (isShared(hook)) {
      static_cast<RunningXdp&>(present) = runningXdp(*workers.host(scope), hook.ifindex);
    } else {
      auto now = runningDispatcher(workers, hook, {}, scope);
      present.program = now.program, present.missing = now.missing;
    }
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
      dismantle(hook, previous, scope);
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
        seen.push_back(place.worker.call(wire::Op::inspect, pinAt(wire::Dir::xdpPrograms, hook.ifindex, present.program, i)));
      for (uint32_t i = 0; i < c->members.size(); ++i) {
        auto reply = seen[i].wait(scope);
        if (reply.result < 0) continue;  // taken out; or it runs unpinned, which its link tells below
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
      present.incomplete =
          present.programs.size() < c->members.size() && linksInto(present.program, place, scope) > present.programs.size();
      if (present.incomplete)
        present.locked = "has a dispatcher with a program that is not pinned where the libxdp protocol says, and would be lost";
    } else {
      present.foreign = true;
    }
  }

  // One that was to leave is gone already: what is there may stay, whoever made it.
  bool isUnchanged(const ChainHook& hook, const Present& present, std::span<const ChainMember> members) override {
    if (!isShared(hook) || present.program == 0 || !std::ranges::equal(present.programs, members, {}, {}, &ChainMember::program))
      return false;
    auto config = libxdpConfigFor(libxdpMembers(members));
    for (size_t i = 0; i < members.size(); ++i)
      if (config.proceed[i] != present.running[i].proceedOn || config.priorities[i] != present.running[i].priority) return false;
    return true;
  }

  static std::vector<LibxdpMember> libxdpMembers(std::span<const ChainMember> members) {
    std::vector<LibxdpMember> result;
    for (auto& member : members) result.push_back({member.name, member.priority, member.proceedOn, member.frags});
    return result;
  }

  void swap(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, DispatcherRow& made, kj::Maybe<Place&> place,
            kj::WaitScope& scope) override {
    if (isShared(hook)) {
      setXdp(hook, present, old, made, *workers.host(scope), scope);
    } else if (old != nullptr && present.program != 0) {
      made.kernelLinkId = KJ_ASSERT_NONNULL(old).kernelLinkId;
      replaceDispatcher(workers, hook, made, scope);
    } else {
      auto host = workers.host(scope);
      if (hook.host) place = *host;
      auto& there = KJ_REQUIRE_NONNULL(place, "a new dispatcher needs its namespace");
      if (old != nullptr) removeDispatcherLink(workers, hook, scope);
      made.kernelLinkId = requireAttached(hook, there.worker.call(wire::Op::createLink, dispatcherLink(hook, made)).wait(scope));
    }
  }

  bool mayHaveOthers(const ChainHook& hook, kj::WaitScope& scope) override {
    return hook.host && runningDispatcher(workers, hook, {}, scope).link == 0;
  }

  uint32_t runs(const ChainHook& hook, DispatcherRow& made, kj::WaitScope& scope) override {
    if (isShared(hook)) return runningXdp(*workers.host(scope), hook.ifindex).program;
    auto now = runningDispatcher(workers, hook, made, scope);
    made.kernelLinkId = now.link;
    return now.program;
  }

  void detach(const ChainHook& hook, Present& present, const DispatcherRow& row, kj::WaitScope& scope) override {
    kj::Maybe<DispatcherRow> old = row;
    bool written = catalog.dispatcher(hook.type, hook.nsid, hook.ifindex) != nullptr;  // else somebody died before
    if (written ? !isShared(hook) : runningDispatcher(workers, hook, row, scope).link != 0)
      detachDispatcher(workers, broker, hook, row, scope);
    else if (present.program == row.programId)
      setXdp(hook, present, old, nullptr, *workers.host(scope), scope);
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
};

}  // namespace

kj::Own<ChainEngine> newLibxdpEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, const Policy& policy) {
  return kj::heap<LibxdpEngine>(catalog, workers, loads, broker, policy);
}

}  // namespace bpfman
