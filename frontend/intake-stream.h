// A client's stream, seen from the RPC: descriptors that could block whoever closes them never get past here. The RPC layer closes
// what it received on the event loop, whenever a capability is dropped; so each one that is not harmless goes to the closer at once,
// and a stand-in (an eventfd, which nothing accepts) takes its place.
#pragma once

#include <kj/async-io.h>

#include "frontend/intake.h"

namespace bpfman {

// intake must outlive the stream. One whose user has CLOSERS such descriptors waiting already ends.
kj::Own<kj::AsyncCapabilityStream> guard(kj::Own<kj::AsyncCapabilityStream> stream, Intake& intake, uint32_t uid);

}  // namespace bpfman
