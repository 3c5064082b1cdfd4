// A change of several members at once, of one chain or of several: all of it or nothing. If its author wishes it holds only until a time,
// unless he confirms it: whoever locks himself out of a machine gets in again. Before the first step the catalogue knows how it is taken
// back, so that whoever dies, and whenever, the next start does the rest.
#pragma once

#include <kj/vector.h>

#include "frontend/hook-chain.h"

namespace bpfman {

struct Modification {  // of a member
  kj::Maybe<int32_t> priority;
  std::vector<int32_t> proceedOn;  // empty: as it is
  kj::Maybe<bool> paused;
};

class Turns {  // those of several programs and chains at once: always taken in one order
 public:
  struct Chain {
    const ChainMemberHook* hook;
    LinkRow some;  // a link of it
    Locks::Turn turn;
    ChainEngine* engine = nullptr;
    Present present = {};                       // as it was when the change was planned
    kj::Maybe<kj::Own<Place>> place = nullptr;  // its namespace, if it may need a dispatcher
    kj::Maybe<int32_t> adoptAs = nullptr;       // as in Present
  };

  Turns(Core& core, const std::set<uint32_t>& programs, const std::vector<LinkRow>& some, kj::WaitScope& scope);
  Chain& of(const LinkRow& link);
  std::map<std::string, Chain>& all() { return chains; }

 private:
  std::vector<Locks::Turn> programs;
  std::map<std::string, Chain> chains;  // by their lock
};

class ChainChange {
 public:
  ChainChange(Core& core, uint32_t uid, kj::WaitScope& scope) : core(core), uid(uid), scope(scope) {}

  // What is to be done, in this order. Each looks only at what can't change meanwhile; the rest is refused when it is carried out.
  void attach(AttachWish& wish);
  void detach(uint32_t link) { steps.add(Step{Step::detach, link, 0, {}, nullptr}); }
  void modify(uint32_t link, Modification to) { steps.add(Step{Step::modify, link, 0, std::move(to), nullptr}); }
  void replace(uint32_t program, uint32_t by) { steps.add(Step{Step::replace, program, by, {}, nullptr}); }

  ChangeRow carryOut(uint64_t confirmWithin);
  // Nanoseconds; 0: it holds at once and for good. A failure leaves nothing of it behind.

  const std::vector<uint32_t>& links() const { return touched; }  // that it made or changed

 private:
  struct Step {
    enum Kind : uint8_t { attach, detach, modify, replace } kind;
    uint32_t what, by;  // a link; of replace: programs
    Modification to;
    AttachWish* wish;
    kj::Maybe<ChainMemberHook::NewMember> newcomer = nullptr;
  };
  struct Edit {
    LinkBefore before;
    LinkRow after;
  };

  Core& core;
  uint32_t uid;
  kj::WaitScope& scope;
  kj::Vector<Step> steps;
  std::map<uint32_t, Edit> edits;  // by link
  std::vector<uint32_t> touched;

  Turns takeTurns();
  void plan(Turns& turns, Step& step);
  void planAttach(Turns& turns, Step& step);
  const ProgramRow& requireProgram(uint32_t id);
  Edit& editOf(Turns& turns, uint32_t link);
  std::vector<Member> membersThen(Turns::Chain& chain);
};

class Changes final : private kj::TaskSet::ErrorHandler {  // those that are in the catalogue
 public:
  Changes() : tasks(*this) {}

  kj::Maybe<const ChangeRow&> waitingOn(Core& core, const LinkRow& link) const;
  void requireFree(Core& core, const LinkRow& link) const;        // refuses to change a chain that one of them has changed
  void requireFree(Core& core, const ProgramRow& program) const;  // or to unload a program that one of them needs

  void wait(Core& core, const ChangeRow& row);  // takes it back when its time has come
  void confirm(Core& core, uint32_t id, kj::WaitScope& scope);
  void takeBack(Core& core, uint32_t id, kj::WaitScope& scope);
  void forgetGone(Core& core, const std::set<uint32_t>& present, kj::WaitScope& scope);  // at start, with the loads that are in the kernel
  void recover(Core& core, kj::WaitScope& scope);                                        // then

  void end(Core& core, const ChangeRow& row, Turns& turns, kj::WaitScope& scope);
  // For whoever has the turns of its chains: finishes it if it is confirmed, else takes it back. What fails is tried again later.

 private:
  kj::TaskSet tasks;

  void endAfter(Core& core, uint32_t id, kj::Duration delay);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace bpfman
