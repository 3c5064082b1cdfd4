// A dispatcher of the libxdp protocol as it stands in the kernel: its configuration, read from it, and the configuration that a new one
// gets. Pure: nothing here asks anybody.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kj/common.h>

#include "dispatchers/xdp-libxdp.h"
#include "frontend/overview.h"

namespace bpfman {

struct LibxdpMember {
  std::string name;      // the function's, for ties
  int64_t priority = 0;  // 0 .. 2^32-1
  uint32_t proceedOn = 0;
  bool frags = false;
};

struct LibxdpConfig {
  uint32_t version = 0;               // 1, 2 or 3; 0: a newer one, of which nothing more is known
  std::vector<LibxdpMember> members;  // in the order in which they run; without names
  bool deviceBound = false;
};

// Nothing: not a dispatcher of the protocol.
kj::Maybe<LibxdpConfig> libxdpConfigOf(const bpf::DispatcherRecord& record);

// For members in this order. Priorities are raised where libxdp, sorting by them and then by name, would come to another order.
xdp_multi_config libxdpConfigFor(std::span<const LibxdpMember> members);

// As it lies in a dispatcher of that version. One of version 1 knows nothing of frags.
std::string libxdpBytes(const xdp_multi_config& config, uint32_t version);

// A single member that goes on after no other verdict than pass may stand for the dispatcher itself: what it returns is what the chain
// would.
bool standsAlone(std::span<const LibxdpMember> members);

}  // namespace bpfman
