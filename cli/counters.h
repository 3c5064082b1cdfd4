// What a dispatcher counted of its members, for people and for scripts.
#pragma once

#include "cli/json.h"

namespace bpfman {

void printCounters(std::ostream& out, schema::Dispatcher::Reader dispatcher);
// Whether it counts, how that is switched, and the numbers.

Json countersJson(schema::Dispatcher::Reader dispatcher, schema::Dispatcher::Member::Reader member);

}  // namespace bpfman
