// The engine for TC chains whose members replace functions of a dispatcher. Nobody shares these dispatchers: members are ours alone, and
// what is pinned is in our own bpffs.
//
// On the host's interfaces the dispatcher is attached by one clsact filter, which is replaced in place by its handle, or by a TCX link
// where the configuration says so. A filter can be replaced only in its own network namespace, and we hold no other than the host's open:
// there it is a TCX link, which we can swap from outside.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "dispatchers/objects.h"
#include "dispatchers/tc-freplace.h"
#include "frontend/replacing-engine.h"

namespace bpfman {

namespace {

class FreplaceEngine final : public ReplacingEngine {
 public:
  FreplaceEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, bool preferTcx)
      : ReplacingEngine(catalog, workers, loads, broker, {"tc", "tc_dispatcher", BPF_PROG_TYPE_SCHED_CLS, 0}, KINDS),
        preferTcx(preferTcx) {}

  kj::StringPtr name() const override { return "freplace"; }
  uint32_t capacity() const override { return TC_FREPLACE_POSITIONS; }
  kj::StringPtr noCounters() const override {
    return "engine freplace has no counters: its dispatcher is another one after each change. Load the programs with --engine tailcall";
  }

  Present look(const ChainHook& hook, const std::vector<OursInChain>& ours, kj::WaitScope& scope) override {
    return alone(hook, ours, running(hook, scope));
  }

  void adopt(const ChainHook&, Present&, int32_t, kj::WaitScope&) override { KJ_FAIL_REQUIRE("TC has nothing to adopt"); }

 private:
  static constexpr Kind KINDS[] = {{"tc-ingress", "freplace-tc-ingress"}, {"tc-egress", "freplace-tc-egress"}};
  bool preferTcx;

  Image imageFor(std::span<const ChainMember> members, const Present&) const override {
    tc_freplace_config config{};
    KJ_REQUIRE(members.size() <= TC_FREPLACE_POSITIONS);
    for (auto& member : members) config.proceed[config.count++] = member.proceedOn;
    return {tcFreplaceDispatcher(), {reinterpret_cast<const char*>(&config), sizeof config}};
  }

  wire::Pin linkPin(const ChainHook& hook, uint32_t program, uint32_t position) const override {
    return pinAt(dispatcherLinkPin(hook).dir, static_cast<uint32_t>(hook.nsid), hook.ifindex, 0, kj::str(program, "_prog", position));
  }

  Present running(const ChainHook& hook, kj::WaitScope& scope) override {
    DispatcherRow row;
    KJ_IF_MAYBE (known, rowOf(hook)) row = *known;
    auto now = runningDispatcher(workers, hook, row, scope);
    Present present;
    present.program = now.program, present.missing = now.missing;
    return present;
  }

  uint32_t runs(const ChainHook& hook, DispatcherRow& made, kj::WaitScope& scope) override {
    auto now = runningDispatcher(workers, hook, made, scope);
    made.kernelLinkId = now.link;
    return now.program;
  }

  void swap(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, DispatcherRow& made, kj::Maybe<Place&> place,
            kj::WaitScope& scope) override {
    KJ_IF_MAYBE (row, old) {
      if (present.program != 0) {
        made.filterPriority = row->filterPriority, made.filterHandle = row->filterHandle, made.kernelLinkId = row->kernelLinkId;
        return replaceDispatcher(workers, hook, made, scope);
      }
    }
    KJ_ON_SCOPE_FAILURE({  // a filter's row is stored before there is one
      KJ_IF_MAYBE (row, old)
        catalog.put(*row);
      else
        catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
    });
    KJ_IF_MAYBE (row, old)
      if (row->filterHandle == 0) removeDispatcherLink(workers, hook, scope);
    auto host = workers.host(scope);
    kj::Maybe<Place&> there = hook.host ? kj::Maybe<Place&>(*host) : place;
    TcBy by = preferTcx ? TcBy::link : TcBy::filter;
    if (!hook.host) by = TcBy::linkOnly;
    attachDispatcher(hook, made, KJ_REQUIRE_NONNULL(there, "a new dispatcher needs its namespace"), catalog, by, scope);
  }

  void detach(const ChainHook& hook, Present&, const DispatcherRow& row, kj::WaitScope& scope) override {
    detachDispatcher(workers, broker, hook, row, scope);
  }
};

}  // namespace

kj::Own<ChainEngine> newFreplaceEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, bool preferTcx) {
  return kj::heap<FreplaceEngine>(catalog, workers, loads, broker, preferTcx);
}

}  // namespace bpfman
