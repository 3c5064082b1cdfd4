// Hooks whose links stand alone: no order, no chain, each pinned under its own id. What differs is what a link is made of.
#pragma once

#include "frontend/hook.h"

namespace bpfman {

class SingleHook : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const final;
  void detach(Core& core, const LinkRow& link, kj::WaitScope& scope) const final;
  wire::Pin pinOf(const LinkRow& link) const final { return pinAt(wire::Dir::links, link.id); }

 private:
  virtual kj::Maybe<kj::AutoCloseFd> describe(Core& core, AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                              kj::WaitScope& scope) const = 0;
  // Checks the right to the target; fills link.target and the kind of the link; returns the descriptor that the worker links to, where
  // there is one.

  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const;
};

}  // namespace bpfman
