// How several programs share one hook that the kernel gives to one. An engine brings a hook to a chain; how it does that is its own.
// Whatever it does is atomic for packets: each sees the chain as it was before or as it is after, and none is lost.
#pragma once

#include <string>
#include <vector>

#include "frontend/catalog.h"
#include "frontend/workers.h"

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
};

class ChainEngine {
 public:
  virtual ~ChainEngine() noexcept(false) {}

  virtual kj::StringPtr name() const = 0;
  virtual kj::StringPtr reason() const = 0;  // why it is this one
  virtual uint32_t capacity() const = 0;     // programs on one hook

  virtual kj::Maybe<DispatcherRow> apply(const ChainHook& hook, const std::vector<ChainMember>& members, kj::Maybe<Place&> place,
                                         kj::WaitScope& scope) = 0;
  // Whatever the hook has now, it has this chain afterwards. No members: what the engine had there is gone, and so is the row. The row
  // is the caller's to store. `place` is needed for a hook that has no dispatcher yet. Calls for one hook don't overlap.

  virtual void tidy(const ChainHook& hook) = 0;
  // At start, for each hook that has a dispatcher: what a change that was cut short left over begins to be taken away.

  virtual void settle(const ChainHook& hook, kj::WaitScope& scope) = 0;
  // Returns when nothing of earlier chains is held any more, so that programs that left can be freed.
};

kj::Own<ChainEngine> newTailcallEngine(kj::UnixEventPort& port, Catalog& catalog, Workers& workers, class Loads& loads,
                                       kj::FiberPool& fibers, bool preferTcx);

}  // namespace bpfman
