// What rtnetlink messages say, decoded. Pure functions over bytes: every length is checked, what doesn't fit is left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bpfman {

enum class XdpMode : uint8_t { none, driver, generic, hardware, several };

struct Interface {
  uint32_t index = 0;
  std::string name = {};
  bool up = false;
  XdpMode xdpMode = XdpMode::none;
  uint32_t xdpProgram = 0;                                              // kernel id; 0: none, or `several`
  uint32_t driverProgram = 0, genericProgram = 0, hardwareProgram = 0;  // by mode: what xdpProgram is made from
};

struct TcFilter {  // cls_bpf
  uint32_t ifindex = 0;
  bool egress = false;
  uint32_t priority = 0, handle = 0, protocol = 0;  // protocol: ETH_P_*
  uint32_t chain = 0;
  uint32_t programId = 0;
  std::string name = {};
  bool directAction = false;
};

struct Qdisc {
  uint32_t ifindex = 0, handle = 0, parent = 0;
  std::string kind = {};  // "clsact", "ingress", "noqueue", …
};

struct InterfaceChange {  // a notification of the group RTNLGRP_LINK
  bool gone = false;      // else: made or changed, renamed for instance
  Interface interface = {};
};

struct NetlinkMessage {
  uint16_t type = 0;
  uint32_t sequence = 0;
  std::span<const std::byte> body;
};

std::vector<NetlinkMessage> splitMessages(std::span<const std::byte> packet);  // up to the first that is cut
int netlinkError(const NetlinkMessage& message);                               // of NLMSG_ERROR and NLMSG_DONE: 0 or -errno

std::optional<Interface> decodeInterface(const NetlinkMessage& message);
std::optional<TcFilter> decodeFilter(const NetlinkMessage& message);  // nothing for filters that are not BPF programs
std::optional<Qdisc> decodeQdisc(const NetlinkMessage& message);
std::optional<InterfaceChange> decodeChange(const NetlinkMessage& message);

}  // namespace bpfman
