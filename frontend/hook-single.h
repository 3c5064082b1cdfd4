// Hooks whose links stand alone: no order, no chain, each pinned under its own id. What differs is what a link is made of.
#pragma once

#include "frontend/hook.h"

namespace bpfman {

struct SingleLink {  // what the worker makes it of
  wire::CreateLink wanted{};
  kj::Maybe<kj::AutoCloseFd> target{};  // the descriptor that it is linked to, where there is one
  std::string tail{};                   // of kprobeMulti, uprobeMulti: as schema/worker.h says
};

class SingleHook : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const final;
  void detach(Core& core, const LinkRow& link, kj::WaitScope& scope) const final;
  wire::Pin pinOf(const LinkRow& link) const final { return pinAt(wire::Dir::links, link.id); }

 protected:
  static const ProgramTypeRow& rowOf(const AttachWish& wish) {
    return KJ_ASSERT_NONNULL(bpfman::rowOf(static_cast<schema::ProgramType>(wish.program.type)));
  }
  static void requireClass(const AttachWish& wish) { wish.rights.requireAttach({rowOf(wish).type, ""}); }
  // All that is asked of whoever attaches to what has no owner.

  static wire::Pin mapTarget(Core& core, const AttachWish& wish, uint32_t id, MapRight right, LinkRow& link);
  // A map of ours, when he may have it so; fills link.target.

 private:
  virtual SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const = 0;
  // Checks the right to the target; fills link.target.

  virtual void confirm(const AttachWish&) const {}  // once the kernel has the link: throws if it is not what was meant
  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const;
};

}  // namespace bpfman
