#include "frontend/netlink.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <kj/debug.h>

namespace bpfman {
namespace {

constexpr int PATIENCE = 2000;  // milliseconds
constexpr uint32_t MAX_PACKET = 1 << 20;
constexpr uint32_t MAX_PACKETS = 65536;       // of one answer
constexpr uint32_t SKIP_STATISTICS = 1 << 3;  // RTEXT_FILTER_SKIP_STATS

struct Request {
  nlmsghdr head{};
  union {
    ifinfomsg link;
    tcmsg traffic;
  };
  char attributes[64] = {};  // a name, or a filter word

  Request(uint16_t type, uint16_t flags, size_t fixed) : traffic{} {
    head.nlmsg_len = NLMSG_LENGTH(fixed);
    head.nlmsg_type = type;
    head.nlmsg_flags = NLM_F_REQUEST | flags;
  }

  void add(uint16_t type, const void* data, size_t size) {
    rtattr attribute{uint16_t(RTA_LENGTH(size)), type};
    char* place = reinterpret_cast<char*>(&head) + NLMSG_ALIGN(head.nlmsg_len);
    std::memcpy(place, &attribute, sizeof(attribute));
    std::memcpy(place + RTA_LENGTH(0), data, size);
    head.nlmsg_len = NLMSG_ALIGN(head.nlmsg_len) + RTA_SPACE(size);
  }

  kj::ArrayPtr<const kj::byte> bytes() const { return {reinterpret_cast<const kj::byte*>(this), head.nlmsg_len}; }
};
static_assert(sizeof(Request) >= NLMSG_LENGTH(sizeof(tcmsg)) + RTA_SPACE(IFNAMSIZ) + RTA_SPACE(4));

}  // namespace

// A new beginning each time: what an earlier Netlink on the same socket left unread is not taken for an answer.
Netlink::Netlink(int socket) : socket(socket), sequence(std::chrono::steady_clock::now().time_since_epoch().count()) {}

std::vector<std::byte> Netlink::receive() {
  pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
  int ready;
  KJ_SYSCALL(ready = poll(&wait, 1, PATIENCE));
  KJ_REQUIRE(ready == 1, "rtnetlink did not answer within two seconds");
  ssize_t size;
  KJ_SYSCALL(size = recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
  KJ_REQUIRE(size_t(size) <= MAX_PACKET, "rtnetlink answered with too much", size);
  std::vector<std::byte> packet(size);
  KJ_SYSCALL(size = recv(socket, packet.data(), packet.size(), MSG_DONTWAIT));
  packet.resize(size);
  return packet;
}

// Sends the request and calls `each` for what comes back, until the kernel says that this was all. 0 or -errno, as the kernel says.
int Netlink::ask(kj::ArrayPtr<const kj::byte> request, const std::function<void(const NetlinkMessage&)>& each) {
  std::vector<kj::byte> bytes(request.begin(), request.end());
  auto& head = *reinterpret_cast<nlmsghdr*>(bytes.data());
  bool dump = (head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  head.nlmsg_seq = ++sequence;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  KJ_SYSCALL(sendto(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel)));

  for (uint32_t packets = 0; packets < MAX_PACKETS; packets++) {
    auto packet = receive();
    for (auto& message : splitMessages(packet)) {
      if (message.sequence != sequence) continue;  // left over from a question that ended early
      if (message.type == NLMSG_ERROR || message.type == NLMSG_DONE) return netlinkError(message);
      each(message);
      if (!dump) return 0;
    }
  }
  KJ_FAIL_REQUIRE("rtnetlink's answer does not end");
}

kj::Maybe<Interface> Netlink::one(kj::ArrayPtr<const kj::byte> request) {
  kj::Maybe<Interface> found;
  int error = ask(request, [&](auto& message) {
    if (auto interface = decodeInterface(message)) found = kj::mv(*interface);
  });
  KJ_REQUIRE(error == 0 || error == -ENODEV, "rtnetlink refused to tell about an interface", strerror(-error));
  return found;
}

kj::Maybe<Interface> Netlink::interfaceNamed(kj::StringPtr name) {
  if (name.size() == 0 || name.size() >= IFNAMSIZ) return nullptr;
  Request request(RTM_GETLINK, 0, sizeof(ifinfomsg));
  request.add(IFLA_IFNAME, name.cStr(), name.size() + 1);
  request.add(IFLA_EXT_MASK, &SKIP_STATISTICS, sizeof(SKIP_STATISTICS));
  return one(request.bytes());
}

kj::Maybe<Interface> Netlink::interfaceAt(uint32_t index) {
  if (index == 0 || index > INT32_MAX) return nullptr;
  Request request(RTM_GETLINK, 0, sizeof(ifinfomsg));
  request.link.ifi_index = index;
  request.add(IFLA_EXT_MASK, &SKIP_STATISTICS, sizeof(SKIP_STATISTICS));
  return one(request.bytes());
}

std::vector<Interface> Netlink::interfaces() {
  std::vector<Interface> all;
  Request request(RTM_GETLINK, NLM_F_DUMP, sizeof(ifinfomsg));
  request.add(IFLA_EXT_MASK, &SKIP_STATISTICS, sizeof(SKIP_STATISTICS));
  int error = ask(request.bytes(), [&](auto& message) {
    if (auto interface = decodeInterface(message)) all.push_back(std::move(*interface));
  });
  KJ_REQUIRE(error == 0, "rtnetlink refused to list the interfaces", strerror(-error));
  return all;
}

std::vector<Qdisc> Netlink::qdiscs() {
  std::vector<Qdisc> all;
  Request request(RTM_GETQDISC, NLM_F_DUMP, sizeof(tcmsg));
  int error = ask(request.bytes(), [&](auto& message) {
    if (auto qdisc = decodeQdisc(message)) all.push_back(std::move(*qdisc));
  });
  KJ_REQUIRE(error == 0, "rtnetlink refused to list the queueing disciplines", strerror(-error));
  return all;
}

// An interface that went away, or that has no such qdisc, has no filters: the kernel answers both with nothing or an error.
std::vector<TcFilter> Netlink::filters(uint32_t ifindex, bool egress) {
  std::vector<TcFilter> all;
  Request request(RTM_GETTFILTER, NLM_F_DUMP, sizeof(tcmsg));
  request.traffic.tcm_ifindex = ifindex;
  request.traffic.tcm_parent = TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
  int error = ask(request.bytes(), [&](auto& message) {
    if (auto filter = decodeFilter(message)) {
      filter->egress = egress;
      all.push_back(std::move(*filter));
    }
  });
  KJ_REQUIRE(error == 0 || error == -ENODEV || error == -EINVAL || error == -ENOENT, "rtnetlink refused to list filters", strerror(-error));
  return all;
}

std::vector<TcFilter> Netlink::allFilters() {
  std::vector<TcFilter> all;
  auto append = [&](std::vector<TcFilter> some) {
    all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
  };
  for (auto& qdisc : qdiscs()) {
    if (qdisc.kind != "clsact" && qdisc.kind != "ingress") continue;
    append(filters(qdisc.ifindex, false));
    if (qdisc.kind == "clsact") append(filters(qdisc.ifindex, true));
  }
  return all;
}

}  // namespace bpfman
