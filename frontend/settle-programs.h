// Which programs of an object are loaded, and of which type, where the caller leaves that to the object: a loader looks first.
#pragma once

#include "frontend/core.h"

namespace bpfman {

bool mustSettle(const LoadWish& wish);
// Afterwards wish.programs has all that is to be loaded, with their types. Refused where a section has no type of ours.
void aimAtPrograms(Core& core, const Rights& rights, LoadWish& wish, kj::WaitScope& scope);
// fentry, fexit and fmod_ret programs that are for a program of ours ("ID", "ID/FUNCTION") get its function.
void settlePrograms(Core& core, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope);

}  // namespace bpfman
