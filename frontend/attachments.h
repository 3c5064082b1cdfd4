// What runs where, on the whole machine: the kernel's links, and what is attached without one (XDP by netlink, tc filters, cgroup and
// TCX programs by bpf(BPF_PROG_ATTACH)), each once. Pure: everything is looked up before and passed in.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "frontend/netlink-decode.h"
#include "frontend/overview.h"

namespace bpfman {

struct Attachment {
  uint32_t programId = 0, linkId = 0;  // linkId: the kernel's; 0: without a link
  std::string hook = {}, target = {};
  uint32_t ifindex = 0;
  uint64_t nsid = 0;
  int32_t position = -1;
  const char* how = "link";  // "link", "netlink", "filter", "attach"
};

// A network namespace, as its rtnetlink socket showed it.
struct NetnsView {
  uint64_t nsid = 0;  // inode
  std::vector<Interface> interfaces = {};
  std::vector<TcFilter> filters = {};
};

// The answer to one wire::Query: what runs at one hook of one interface or cgroup, in this order.
struct HookView {
  uint32_t attachType = 0;  // BPF_TCX_INGRESS, BPF_CGROUP_INET_EGRESS, …
  uint64_t nsid = 0;        // of an interface's hook
  uint32_t ifindex = 0;
  uint64_t cgroupId = 0;  // of a cgroup's hook
  std::string cgroupPath = {};
  std::vector<uint32_t> programIds = {},
                        linkIds = {};  // linkIds: as many as programs (0: without a link), or none where the kernel tells none
};

struct AttachmentSources {
  std::span<const KernelLink> links;
  std::span<const NetnsView> namespaces;
  std::span<const HookView> hooks;
  std::function<std::string(uint64_t cgroupId)> cgroupPath;  // may be empty: then the id is shown
};

std::vector<Attachment> joinAttachments(const AttachmentSources& sources);
// Links first, in the kernel's order, then what has none. Links that attach nothing (iterators, links whose device is gone) are left out.

void describe(const Attachment& attachment, bool managed, schema::Attachment::Builder to);

}  // namespace bpfman
