// What the engines have in common whose members replace functions of a dispatcher (freplace): libxdp for XDP, freplace for TC. Each change
// builds a whole new dispatcher beside the old one, with all members linked to it and pinned; one atomic swap makes it the one that runs;
// then the old one is taken apart. When somebody died meanwhile, what runs on the hook decides.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kj/debug.h>

#include "frontend/dispatcher-attachment.h"

namespace bpfman {

class ReplacingEngine : public ChainEngine {
 public:
  kj::StringPtr reason() const override { return why; }
  kj::Maybe<Extension> extension() const override { return target; }
  bool start(kj::WaitScope& scope) override;
  Applied apply(const ChainHook& hook, Present& present, const ChainWish& wish, kj::Maybe<Place&> place, kj::WaitScope& scope) override;
  void recover(kj::WaitScope& scope) override;
  void settle(const ChainHook&, kj::WaitScope&) override {}
  void count(const ChainHook&, Counting, kj::WaitScope&) override { KJ_FAIL_REQUIRE("no counters"); }
  ChainCounts counts(const ChainHook&, kj::WaitScope&) override { return {}; }

 protected:
  struct Kind {               // of hooks
    const char *type, *word;  // as in ChainHook; as in the purpose of a dispatcher's load
  };
  struct Dispatcher {
    const char* family;    // "xdp", "tc": of its members
    const char* function;  // its program's
    uint32_t type, attachType;
  };
  struct Image {
    std::span<const unsigned char> object;
    std::string configuration;  // its variable `conf`
    uint32_t flags = 0;         // BPF_F_* to load it with
  };

  Catalog& catalog;
  Workers& workers;
  Loads& loads;
  BrokerChannel& broker;

  ReplacingEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, Dispatcher dispatcher,
                  std::span<const Kind> kinds)
      : catalog(catalog), workers(workers), loads(loads), broker(broker), dispatcher(dispatcher), kinds(kinds) {}

  kj::Maybe<DispatcherRow> rowOf(const ChainHook& hook) const;
  Present alone(const ChainHook& hook, const std::vector<OursInChain>& ours, Present present);
  // What runs on a hook where nobody else's programs can be beside ours.
  void dismantle(const ChainHook& hook, uint32_t program, kj::WaitScope& scope);
  // Takes the pins of a dispatcher that does not run, or no longer.

  // ---- what differs ----

  virtual void requireMore(kj::WaitScope&) {}  // what it needs besides a kernel with freplace
  virtual Image imageFor(std::span<const ChainMember> members, const Present& present) const = 0;  // of the dispatcher that comes next
  virtual kj::String functionFor(std::span<const ChainMember>, size_t position) const { return kj::str("prog", position); }
  virtual wire::Pin linkPin(const ChainHook& hook, uint32_t program, uint32_t position) const = 0;  // of the dispatcher with this program
  virtual kj::Maybe<wire::Pin> programPin(const ChainHook&, uint32_t, uint32_t) const { return nullptr; }  // a member's, beside its link's
  virtual void requireTakes(const ChainHook&, const Present&) {}                                           // else it says why not
  virtual bool mayHaveOthers(const ChainHook&, kj::WaitScope&) { return false; }                           // by another tool, beside ours
  virtual bool isUnchanged(const ChainHook&, const Present&, std::span<const ChainMember>) { return false; }

  virtual Present running(const ChainHook& hook, kj::WaitScope& scope) = 0;  // its program, and what a swap needs to know
  virtual uint32_t runs(const ChainHook& hook, DispatcherRow& made, kj::WaitScope& scope) = 0;
  // Likewise the program only, and in the row its link, after a swap of which nobody knows whether it happened.
  virtual void swap(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, DispatcherRow& made, kj::Maybe<Place&> place,
                    kj::WaitScope& scope) = 0;
  virtual void detach(const ChainHook& hook, Present& present, const DispatcherRow& row, kj::WaitScope& scope) = 0;

 private:
  Dispatcher dispatcher;
  std::span<const Kind> kinds;
  kj::Maybe<Extension> target;
  kj::String why;

  LoadOutcome loadDispatcher(const Image& image, const std::string& purpose, kj::Maybe<Extension> extension, kj::WaitScope& scope);
  void removeLoads(const std::string& purpose, kj::WaitScope& scope);
  std::string purposeOf(const ChainHook& hook) const;
  DispatcherRow newRow(const ChainHook& hook) const;
  Applied build(const ChainHook& hook, const Present& present, std::span<const ChainMember> members, kj::WaitScope& scope);
  std::vector<uint32_t> linksOf(const ChainHook& hook, uint32_t program, size_t count, kj::WaitScope& scope);
  void takeAway(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, kj::WaitScope& scope);
  void recoverOne(const ChainHook& hook, const LoadRow& load, uint32_t program, kj::WaitScope& scope);
};

}  // namespace bpfman
