#include "frontend/netlink-decode.h"

#include <algorithm>
#include <cstring>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

namespace bpfman {
namespace {

using Bytes = std::span<const std::byte>;

constexpr size_t align(size_t size) { return (size + 3) & ~size_t(3); }

template <typename Number>
Number numberIn(Bytes bytes) {
  Number number{};
  if (bytes.size() >= sizeof(number)) std::memcpy(&number, bytes.data(), sizeof(number));
  return number;
}

std::string textIn(Bytes bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find('\0'));
}

template <typename Each>
void forEachAttribute(Bytes bytes, Each each) {
  while (bytes.size() >= sizeof(rtattr)) {
    auto head = numberIn<rtattr>(bytes);
    if (head.rta_len < sizeof(head) || head.rta_len > bytes.size()) return;
    each(head.rta_type & NLA_TYPE_MASK, bytes.subspan(sizeof(head), head.rta_len - sizeof(head)));
    bytes = bytes.subspan(std::min(align(head.rta_len), bytes.size()));
  }
}

// The fixed struct that the message begins with, and its attributes.
template <typename Fixed>
std::optional<Fixed> begin(Bytes body, Bytes& attributes) {
  if (body.size() < sizeof(Fixed)) return std::nullopt;
  attributes = body.subspan(std::min(align(sizeof(Fixed)), body.size()));
  return numberIn<Fixed>(body);
}

XdpMode modeOf(uint8_t attached) {
  switch (attached) {
    case XDP_ATTACHED_DRV: return XdpMode::driver;
    case XDP_ATTACHED_SKB: return XdpMode::generic;
    case XDP_ATTACHED_HW: return XdpMode::hardware;
    case XDP_ATTACHED_MULTI: return XdpMode::several;
    default: return XdpMode::none;
  }
}

void decodeXdp(Bytes nested, Interface& to) {
  forEachAttribute(nested, [&](int type, Bytes value) {
    switch (type) {
      case IFLA_XDP_ATTACHED: to.xdpMode = modeOf(numberIn<uint8_t>(value)); break;
      case IFLA_XDP_PROG_ID: to.xdpProgram = numberIn<uint32_t>(value); break;
      case IFLA_XDP_DRV_PROG_ID: to.driverProgram = numberIn<uint32_t>(value); break;
      case IFLA_XDP_SKB_PROG_ID: to.genericProgram = numberIn<uint32_t>(value); break;
      case IFLA_XDP_HW_PROG_ID: to.hardwareProgram = numberIn<uint32_t>(value); break;
    }
  });
}

void decodeBpfOptions(Bytes nested, TcFilter& to) {
  forEachAttribute(nested, [&](int type, Bytes value) {
    switch (type) {
      case TCA_BPF_ID: to.programId = numberIn<uint32_t>(value); break;
      case TCA_BPF_NAME: to.name = textIn(value); break;
      case TCA_BPF_FLAGS: to.directAction = numberIn<uint32_t>(value) & TCA_BPF_FLAG_ACT_DIRECT; break;
    }
  });
}

std::optional<Interface> decodeLinkBody(Bytes body) {
  Bytes attributes;
  auto fixed = begin<ifinfomsg>(body, attributes);
  if (!fixed || fixed->ifi_index <= 0) return std::nullopt;
  Interface interface;
  interface.index = uint32_t(fixed->ifi_index);
  interface.up = (fixed->ifi_flags & IFF_UP) != 0;
  forEachAttribute(attributes, [&](int type, Bytes value) {
    if (type == IFLA_IFNAME) interface.name = textIn(value);
    if (type == IFLA_XDP) decodeXdp(value, interface);
  });
  return interface;
}

}  // namespace

std::vector<NetlinkMessage> splitMessages(Bytes packet) {
  std::vector<NetlinkMessage> all;
  while (packet.size() >= sizeof(nlmsghdr)) {
    auto head = numberIn<nlmsghdr>(packet);
    if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > packet.size()) break;
    all.push_back({head.nlmsg_type, head.nlmsg_seq, packet.subspan(sizeof(head), head.nlmsg_len - sizeof(head))});
    packet = packet.subspan(std::min(align(head.nlmsg_len), packet.size()));
  }
  return all;
}

int netlinkError(const NetlinkMessage& message) { return numberIn<int32_t>(message.body); }

std::optional<Interface> decodeInterface(const NetlinkMessage& message) {
  return message.type == RTM_NEWLINK ? decodeLinkBody(message.body) : std::nullopt;
}

std::optional<InterfaceChange> decodeChange(const NetlinkMessage& message) {
  if (message.type != RTM_NEWLINK && message.type != RTM_DELLINK) return std::nullopt;
  auto interface = decodeLinkBody(message.body);
  if (!interface) return std::nullopt;
  return InterfaceChange{.gone = message.type == RTM_DELLINK, .interface = std::move(*interface)};
}

std::optional<TcFilter> decodeFilter(const NetlinkMessage& message) {
  Bytes attributes;
  auto fixed = begin<tcmsg>(message.body, attributes);
  if (message.type != RTM_NEWTFILTER || !fixed) return std::nullopt;
  TcFilter filter{.ifindex = uint32_t(fixed->tcm_ifindex),
                  .egress = fixed->tcm_parent == TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
                  .priority = TC_H_MAJ(fixed->tcm_info) >> 16,
                  .handle = fixed->tcm_handle,
                  .protocol = __builtin_bswap16(uint16_t(TC_H_MIN(fixed->tcm_info)))};
  bool isBpf = false;
  forEachAttribute(attributes, [&](int type, Bytes value) {
    if (type == TCA_KIND) isBpf = textIn(value) == "bpf";
    if (type == TCA_CHAIN) filter.chain = numberIn<uint32_t>(value);
    if (type == TCA_OPTIONS && isBpf) decodeBpfOptions(value, filter);  // TCA_KIND comes first: the kernel writes them so
  });
  if (!isBpf || filter.programId == 0) return std::nullopt;
  return filter;
}

std::optional<Qdisc> decodeQdisc(const NetlinkMessage& message) {
  Bytes attributes;
  auto fixed = begin<tcmsg>(message.body, attributes);
  if (message.type != RTM_NEWQDISC || !fixed) return std::nullopt;
  Qdisc qdisc{.ifindex = uint32_t(fixed->tcm_ifindex), .handle = fixed->tcm_handle, .parent = fixed->tcm_parent};
  forEachAttribute(attributes, [&](int type, Bytes value) {
    if (type == TCA_KIND) qdisc.kind = textIn(value);
  });
  return qdisc;
}

}  // namespace bpfman
