// A hook that the kernel gives to one program and that several share by an engine: XDP and TC. What differs between them is a value of
// SharedHook in each one's own small file.
#pragma once

#include "frontend/chain.h"
#include "frontend/hook.h"

namespace bpfman {

constexpr int32_t PRIORITY_UNSAID = -1, DEFAULT_PRIORITY = 50;  // then the object's own counts, or the libxdp protocol's

struct WantedMember {  // what a Place says about it
  kj::StringPtr interface, netnsPath;
  int32_t priority;
  capnp::List<int32_t>::Reader proceedOn;
  schema::Direction direction;
  kj::Maybe<int32_t> adoptAs = nullptr;  // a program without a dispatcher that runs there becomes a member, with this priority
};

struct SharedHook {
  const Verdicts& verdicts;
  WantedMember (*wanted)(schema::Place::Reader place);
  const char* dispatcherTypes[2];  // by direction
  wire::Dir members[2];
};

LinkRow linkOn(const ChainHook& hook);  // one that says which hook, and no more: in no catalogue, of no program
std::string chainLock(const std::string& type, uint64_t nsid, uint32_t ifindex);  // the dispatcher's key; who changes the chain has it

class ChainMemberHook final : public Hook {
 public:
  explicit ChainMemberHook(const SharedHook& shared) : shared(shared) {}

  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const override;
  void detach(Core& core, const LinkRow& link, kj::WaitScope& scope) const override;
  Plan plan(Core& core, AttachWish& wish, kj::WaitScope& scope) const override;
  wire::Pin pinOf(const LinkRow& link) const override;
  kj::Maybe<ChainHook> chainOf(const LinkRow& link) const override { return hookOf(link); }
  std::vector<Member> chainNow(Core& core, const LinkRow& link, kj::WaitScope& scope) const override;
  void follow(Core& core, const LinkRow& link, kj::WaitScope& scope) const override;
  const ChainMemberHook* sharing() const override { return this; }

  void park(Core& core, const LinkRow& place, Place& in, bool parked, kj::WaitScope& scope) const;
  // The dispatcher of such a link's chain, which is made if it is to stay and there is none, stays or not also without members.

  // ---- what a change of a chain is made of: here, and where several are changed at once (chain-change.h) ----

  struct NewMember {
    Target target;
    LinkRow link;
    kj::Maybe<int32_t> adoptAs;
  };
  NewMember newMember(Core& core, AttachWish& wish, kj::WaitScope& scope) const;  // if the caller may; in no catalogue yet
  const Verdicts& verdicts() const { return shared.verdicts; }
  ChainHook hookOf(const LinkRow& link) const;
  std::string lockOf(const LinkRow& link) const;

  // All that follows: while one has the chain's turn.
  void forgetIfGone(Core& core, const LinkRow& link, Place& place, kj::WaitScope& scope) const;
  ChainEngine& engineFor(Core& core, const LinkRow& link, const ProgramRow& program) const;
  ChainEngine& engineOf(Core& core, const LinkRow& link) const;
  Present lookAt(Core& core, ChainEngine& engine, const LinkRow& link, bool forget, kj::WaitScope& scope) const;
  void adopt(ChainEngine& engine, const LinkRow& link, kj::Maybe<int32_t> as, Present& present, kj::WaitScope& scope) const;
  static std::vector<Member> othersOf(const Present& present);
  void pin(Core& core, const LinkRow& link, kj::WaitScope& scope) const;  // as a member: its own pin of its program
  void apply(Core& core, ChainEngine& engine, const LinkRow& link, Present& present, const std::vector<Member>& members,
             kj::Maybe<Place&> place, kj::WaitScope& scope, uint64_t until = 0) const;

 private:
  struct Attempt {  // of an attach: everything is decided, nothing done
    Target target;
    LinkRow link;
    ChainEngine& engine;
    Present present;
    std::vector<Member> now, then;
    Locks::Turn turn;
  };
  const SharedHook& shared;

  Attempt prepare(Core& core, AttachWish& wish, bool forget, kj::WaitScope& scope) const;
  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const;
};

}  // namespace bpfman
