// Persistent programs: they and their links are wanted, whatever becomes of the kernel's objects. After a reboot, or when somebody emptied
// the bpffs, they are loaded again from their kept bytecode; a link whose interface is gone waits until it is there again
// (docs/persistence.md). A program that the kernel does not have has a placeholder above all ids of the kernel's.
#pragma once

#include "frontend/core.h"

namespace bpfman {

constexpr uint32_t FIRST_PLACEHOLDER = 1u << 31;  // the kernel's ids are below

kj::String whyNotAgain(const LinkRow& link);  // why its target can't be found again after a reboot; "": it can
bool isPersistent(Core& core, const LinkRow& link);

kj::String notThere(const LinkRow& link);  // "interface eth5 is not there"

// ---- what is gone from the kernel, pins included ----

void letWait(Core& core, uint32_t load);
// A persistent load: its programs get placeholders, its links wait, and those whose target can't be found again are forgotten.

void lose(Core& core, const LinkRow& link, kj::StringPtr why);
// A link whose interface or namespace went: forgotten, or, if it is persistent, waiting. Says so in the log and the audit.

void takeBack(Core& core, const LinkRow& link);
// A link that was taken off its hook: erased, unless it was only being attached again: then it waits as before.

// ---- and comes back ----

void loadAgain(Core& core, kj::WaitScope& scope);  // what is missing; one that fails is reported, and the others go on
void attachWaiting(Core& core, kj::WaitScope& scope);
// All that wait and can be attached now. What can't is said in its row, and in the log once.

}  // namespace bpfman
