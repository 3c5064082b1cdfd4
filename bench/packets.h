// What the XDP dispatcher costs each packet.
#pragma once

#include "bench/remote.h"

namespace bpfman::bench {

void measurePackets(Remote& remote, const Object& xdp, kj::StringPtr interface);

}  // namespace bpfman::bench
