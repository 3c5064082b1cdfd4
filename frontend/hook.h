// A hook: one row here and one small file. Everything that differs between program types is behind it.
#pragma once

#include <kj/debug.h>

#include "frontend/chain.h"
#include "frontend/core.h"
#include "frontend/rights.h"

namespace bpfman {

struct AttachWish {
  ProgramRow program;
  schema::Place::Reader place;
  kj::Maybe<NamespaceTarget> netns;  // none: the host's
  kj::AutoCloseFd target;            // a cgroup or binary, as it came
  kj::Maybe<ProcessTarget> process;  // of a uprobe; none: all
  Pairs metadata;
  const Rights& rights;
  uint32_t uid;
  std::string request;  // as in the catalogue
  capnp::List<schema::Neighbour>::Reader before, after;
  kj::Maybe<const LinkRow&> again = nullptr;  // this link, which waits: it keeps its id and all that was said about it
};

struct Plan {  // what an attach would do
  std::vector<Member> now, then;
  uint32_t newcomer;  // its link in `then`
};

class ChainMemberHook;

class Hook {
 public:
  virtual ~Hook() noexcept(false) {}

  virtual LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const = 0;
  // Checks the right to the target, journals, attaches. The row that it returns is in the catalogue. A failure leaves nothing.

  virtual void detach(Core& core, const LinkRow& link, kj::WaitScope& scope) const = 0;
  // Whatever state the link is in: afterwards kernel and catalogue no longer have it. Also how a half-made one is undone.

  virtual Plan plan(Core& core, AttachWish& wish, kj::WaitScope& scope) const;
  // What attach would do to the order on the hook; refuses as it would. Changes nothing. Refuses for a hook that has no order.

  virtual wire::Pin pinOf(const LinkRow& link) const = 0;
  virtual kj::Maybe<ChainHook> chainOf(const LinkRow&) const { return nullptr; }  // where several of our links share the kernel's
  virtual const ChainMemberHook* sharing() const { return nullptr; }
  virtual std::vector<Member> chainNow(Core&, const LinkRow&, kj::WaitScope&) const { return {}; }
  // Who runs there at this moment, other tools' programs too, in order. Ours that another tool took out are forgotten.

  virtual void follow(Core&, const LinkRow&, kj::WaitScope&) const {}
  // `link` says which hook, of an interface: when that is gone, our links on it are lost (frontend/persistence.h), with all that held them.
};

struct HookType {
  const ProgramTypeRow& row;
  const Hook& hook;
};

kj::Maybe<HookType> hookOf(schema::ProgramType type);
inline HookType hookOf(const LinkRow& link) { return KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(link.kind))); }

// Each in hook-….c++: the first word of its name.
extern const Hook &xdpHook, &tcHook, &cgroupHook, &iteratorHook, &structOpsHook;
extern const Hook &tcxHook, &netkitHook;                            // hook-tcx.c++
extern const Hook &uprobeHook, &uprobeMultiHook;                    // hook-uprobe.c++
extern const Hook &tracepointHook, &rawTracepointHook, &fixedHook;  // hook-tracing.c++
extern const Hook &kprobeHook, &kprobeMultiHook, &perfEventHook;    // hook-kprobe.c++
extern const Hook &netnsHook, &netfilterHook, &socketsHook;         // hook-network.c++

// ---- what hooks share ----

LinkRow newLink(Core& core, const AttachWish& wish);  // id, program, kind, times; state attaching
void beginDetach(Core& core, LinkRow& link);          // the journal: state detaching. One that was being attached again is only taken back
uint8_t sideOf(schema::Direction direction);          // 0 ingress, 1 egress; refuses what is neither
struct Target {
  kj::Own<Place> place;
  std::string interface;
  uint32_t ifindex;
};
Target resolve(Core& core, AttachWish& wish, kj::StringPtr interface, int32_t priority, kj::WaitScope& scope);
// The interface in the wish's namespace, when the caller may attach there. Refuses with what is wrong.
void requireSame(const Target& target);  // after an attach: the interface still has that name and index
void fillTarget(LinkRow& link, const Target& target, const AttachWish& wish, kj::StringPtr netnsPath);
void removePin(Core& core, const wire::Pin& pin, kj::WaitScope& scope);
bool isThere(Core& core, const LinkRow& link, kj::WaitScope& scope);  // its interface, if it is the host's; of others nothing is known
bool isOn(Core& core, const wire::Pin& link, uint32_t ifindex, kj::WaitScope& scope);  // the kernel's link is there, on that interface

}  // namespace bpfman
