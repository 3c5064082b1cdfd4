// How several programs share one hook that the kernel gives to one. An engine brings a hook to a chain; how it does that is its own.
// Whatever it does is atomic for packets: each sees the chain as it was before or as it is after, and none is lost.
#pragma once

#include <string>
#include <vector>

#include "frontend/broker.h"
#include "frontend/catalog.h"
#include "frontend/chain-counters.h"
#include "frontend/intake.h"
#include "frontend/libxdp-chain.h"
#include "frontend/load.h"
#include "frontend/policy.h"
#include "frontend/workers.h"
#include "frontend/xdp-netlink.h"

namespace bpfman {

struct ChainHook {
  std::string type;  // "xdp", "tc-ingress", "tc-egress"
  uint64_t nsid;
  uint32_t ifindex;
  std::string interface, netnsPath;
  bool host;

  bool isXdp() const { return type == "xdp"; }
  bool isEgress() const { return type == "tc-egress"; }
};

struct ChainMember {     // in the order in which they run
  uint32_t load, index;  // the program: loads/LOAD/pINDEX
  uint32_t proceedOn;    // bit of each verdict after which the next one runs: XDP 1 << verdict, TC 1 << (verdict + 1)
  uint32_t program = 0;  // its kernel id
  uint32_t link = 0;     // ours; 0: another tool's
  std::string name = {};
  int64_t priority = 0;
  bool frags = false;
  kj::Maybe<wire::Pin> theirs = nullptr;  // where another tool's program is pinned

  wire::Pin pin() const {
    KJ_IF_MAYBE (place, theirs) return *place;
    return loadedProgram(load, index);
  }
};

struct OursInChain {
  uint32_t link, program;
  bool attached;  // else it joins or leaves
};

struct OtherMember {  // put there by another tool, or adopted
  uint32_t program;
  std::string name;
  int64_t priority;
  uint32_t proceedOn;
  bool frags;
  wire::Pin pin;
  bool adopted = false;
};

struct Present : RunningXdp {         // what the hook has in the kernel at this moment
  kj::AutoCloseFd lock;               // while it is open nobody changes that who keeps to the engine's protocol
  bool foreign = false;               // it is no dispatcher
  kj::Maybe<int32_t> adoptAs;         // what runs there alone becomes a member, with this priority
  const char* locked = nullptr;       // why nobody may be added to it
  bool incomplete = false;            // somebody is in it who would be lost in another
  uint32_t protocol = 0;              // of a dispatcher of the libxdp protocol: which version
  std::vector<uint32_t> programs;     // kernel ids, as they run: ours and others'
  std::vector<LibxdpMember> running;  // and what the dispatcher says about each
  std::vector<OtherMember> others;    // as they run
  std::vector<uint32_t> gone;         // links of ours that somebody else took out
};

struct ChainWish {  // what a hook is to have
  std::vector<ChainMember> members;
  bool stays = false;  // also without members the dispatcher stays
  uint64_t until = 0;  // ns of CLOCK_MONOTONIC: only until then, if the engine can do that; 0: for good
};

struct Applied {
  kj::Maybe<DispatcherRow> row;  // none: the hook has no dispatcher of ours any more
  std::vector<uint32_t> links;   // the kernel's link of each member, where each has its own
};

class ChainEngine {
 public:
  virtual ~ChainEngine() noexcept(false) {}

  virtual kj::StringPtr name() const = 0;
  virtual kj::StringPtr reason() const = 0;                           // why it can be used here, or can't
  virtual uint32_t capacity() const = 0;                              // programs on one hook
  virtual kj::Maybe<Extension> extension() const { return nullptr; }  // what its members are loaded as extensions of

  virtual bool start(kj::WaitScope& scope) = 0;
  // Tries, once, whether this kernel lets it work.

  virtual Present look(const ChainHook& hook, const std::vector<OursInChain>& ours, kj::WaitScope& scope) = 0;
  virtual void adopt(const ChainHook& hook, Present& present, int32_t priority, kj::WaitScope& scope) = 0;
  // Of the host's interfaces: a program without a dispatcher that runs there is to become a member; if one does, it is then one of
  // `present.others`, and apply() takes it. Refuses what the engine, or the kernel, can't make a member.
  virtual Applied apply(const ChainHook& hook, Present& present, const ChainWish& wish, kj::Maybe<Place&> place, kj::WaitScope& scope) = 0;
  // Whatever the hook has now, it has this chain afterwards. No members, and it does not stay: what the engine had there is gone, and so is
  // the row. The row is the caller's to store; an engine stores it earlier where a death in between would lose it. `place` is needed for a
  // hook that has no dispatcher yet. Calls for one hook don't overlap.

  virtual bool keepsTime() const { return false; }
  // `until` is kept by the kernel, whoever has died: then the chain of before is back.
  virtual void confirm(const ChainHook&, kj::WaitScope&) {}
  // The chain that the hook has stays for good. Until then, or until it is changed back, nothing else changes the hook.

  virtual void recover(kj::WaitScope& scope) = 0;
  // At start: what a change that was cut short left is completed, or begins to be taken away.

  virtual void settle(const ChainHook& hook, kj::WaitScope& scope) = 0;
  // Returns when nothing of earlier chains is held any more, so that programs that left can be freed.

  virtual kj::StringPtr noCounters() const = 0;  // why its chains have none; "": they have
  virtual void count(const ChainHook& hook, Counting counting, kj::WaitScope& scope) = 0;
  virtual ChainCounts counts(const ChainHook& hook, kj::WaitScope& scope) = 0;
  // Of the members of a chain that has counters. Neither overlaps with a call for the same hook that changes something.
};

kj::Own<ChainEngine> newTailcallEngine(kj::UnixEventPort& port, Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker,
                                       kj::FiberPool& fibers, bool preferTcx, uint32_t possibleCpus);
kj::Own<ChainEngine> newLibxdpEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, const Policy& policy);
kj::Own<ChainEngine> newFreplaceEngine(Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, bool preferTcx);

class Engines {  // of the host; which one a program is for is decided when it is loaded
 public:
  struct Configured {
    wire::WantedEngine xdp, tc;
  };

  Engines(kj::Own<ChainEngine> tailcall, kj::Own<ChainEngine> libxdp, kj::Own<ChainEngine> freplace, Configured configured)
      : tailcall(kj::mv(tailcall)), libxdp(kj::mv(libxdp)), freplace(kj::mv(freplace)), configured(configured) {}

  void start(kj::WaitScope& scope);
  void recover(kj::WaitScope& scope);
  ChainEngine& preferred(bool xdp);  // of new programs, XDP or TC
  kj::String reason(bool xdp);
  LoadOutcome load(Loads& loads, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope);
  // For the engine that the wish names ("" or "auto": the host's), if that can be. What can't become an extension (an object without types,
  // say) is loaded to run by itself, unless an engine is named.
  kj::Maybe<Extension> extensionLike(const ProgramRow& program, kj::WaitScope& scope);  // for what is to take its place
  ChainEngine& named(const std::string& name) { return name == "libxdp" ? *libxdp : name == "freplace" ? *freplace : *tailcall; }
  ChainEngine& of(const ProgramRow& program) {
    bool xdp = program.type == static_cast<uint16_t>(schema::ProgramType::XDP);
    return !program.extension ? *tailcall : xdp ? *libxdp : *freplace;
  }

 private:
  kj::Own<ChainEngine> tailcall, libxdp, freplace;
  Configured configured;
  bool preferLibxdp = false;
  Locks starting;

  ChainEngine& wanted(const LoadWish& wish, kj::WaitScope& scope);
  bool freplaceStarts(kj::WaitScope& scope);
};

}  // namespace bpfman
