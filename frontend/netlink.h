// Questions to rtnetlink, in whatever network namespace its socket was opened. Synchronous: the kernel answers at once, and a wait
// ends after two seconds with an exception. Sends and receives only; needs no capability.
#pragma once

#include <functional>

#include <kj/common.h>
#include <kj/string.h>

#include "frontend/netlink-decode.h"

namespace bpfman {

class Netlink {
 public:
  explicit Netlink(int socket);
  // AF_NETLINK, NETLINK_ROUTE; borrowed. No one else may ask on it at the same time.

  kj::Maybe<Interface> interfaceNamed(kj::StringPtr name);  // nothing: there is none; also for a name that can't be one
  kj::Maybe<Interface> interfaceAt(uint32_t index);
  std::vector<Interface> interfaces();
  std::vector<Qdisc> qdiscs();
  std::vector<TcFilter> filters(uint32_t ifindex, bool egress);  // in the order in which they run; none without clsact or ingress
  std::vector<TcFilter> allFilters();                            // of every interface with a clsact or ingress qdisc

 private:
  int socket;
  uint32_t sequence;

  kj::Maybe<Interface> one(kj::ArrayPtr<const kj::byte> request);
  int ask(kj::ArrayPtr<const kj::byte> request, const std::function<void(const NetlinkMessage&)>& each);
  std::vector<std::byte> receive();
};

}  // namespace bpfman
