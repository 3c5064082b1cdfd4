// At start: the pins are the truth about the kernel, the catalogue about what was asked. What was under way is undone, what is gone is
// forgotten, what nobody asked for is removed; what was attached stays as it is. Says in the log what it found and did.
#pragma once

#include "frontend/core.h"

namespace bpfman {

constexpr uint32_t PIN_VERSION = 1;  // of the layout of our bpffs (schema/worker.h, wire::Dir): the pin version_1

void reconcile(Core& core, kj::WaitScope& scope);

}  // namespace bpfman
