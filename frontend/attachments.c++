#include "frontend/attachments.h"

#include <algorithm>
#include <linux/bpf.h>
#include <map>
#include <set>
#include <tuple>

#include "frontend/kernel-names.h"

namespace bpfman {
namespace {

// Links have no attach type that could be told apart by, or are better named by what they hang on.
std::string hookOf(const KernelLink& link) {
  switch (link.type) {
    case BPF_LINK_TYPE_XDP: return "xdp";
    case BPF_LINK_TYPE_RAW_TRACEPOINT: return link.programType == BPF_PROG_TYPE_TRACING ? "tp_btf" : "raw_tracepoint";
    case BPF_LINK_TYPE_KPROBE_MULTI: return "kprobe.multi";
    case BPF_LINK_TYPE_UPROBE_MULTI: return "uprobe.multi";
    case BPF_LINK_TYPE_STRUCT_OPS: return "struct_ops";
    case BPF_LINK_TYPE_NETFILTER: return "netfilter";
    case BPF_LINK_TYPE_PERF_EVENT:
      if (link.programType == BPF_PROG_TYPE_TRACEPOINT) return "tracepoint";
      if (!(link.flags & bpf::LINK_PROBE)) return "perf_event";
      if (textOf(link.group) == "uprobes") return link.flags & bpf::LINK_RETURN ? "uretprobe" : "uprobe";
      return textOf(link.group) == "kprobes" ? "kprobe" : "probe";
    case BPF_LINK_TYPE_TRACING:
      if (link.programType == BPF_PROG_TYPE_EXT) return "freplace";
      break;
  }
  auto hook = attachHookName(link.attachType);
  if (!(link.flags & bpf::LINK_ATTACH_TYPE) || hook == "") return linkTypeName(link.type).cStr();
  return hook.cStr();
}

class Join {
 public:
  explicit Join(const AttachmentSources& sources) : sources(sources) {
    for (auto& space : sources.namespaces)
      for (auto& interface : space.interfaces) names[{space.nsid, interface.index}] = &interface;
    for (auto& hook : sources.hooks)
      if (hook.cgroupId != 0 && !hook.cgroupPath.empty()) paths[hook.cgroupId] = hook.cgroupPath;
  }

  std::vector<Attachment> all() && {
    for (auto& link : sources.links) addLink(link);
    for (auto& hook : sources.hooks) addHook(hook);
    for (auto& space : sources.namespaces) {
      for (auto& interface : space.interfaces) addXdp(space, interface);
      addFilters(space);
    }
    return std::move(attachments);
  }

 private:
  const AttachmentSources& sources;
  std::map<std::pair<uint64_t, uint32_t>, const Interface*> names;           // by namespace and index
  std::map<uint64_t, std::string> paths;                                     // by cgroup
  std::map<uint32_t, size_t> byLink;                                         // where in `attachments`
  std::multimap<std::tuple<uint64_t, uint32_t, uint32_t>, size_t> byCgroup;  // cgroup, attach type, program
  std::set<std::tuple<uint64_t, uint32_t, uint32_t>> xdpLinks;               // namespace, interface, program
  std::vector<Attachment> attachments;

  std::string interfaceName(uint64_t nsid, uint32_t ifindex) const {
    auto found = names.find({nsid, ifindex});
    return found != names.end() ? found->second->name : "ifindex " + std::to_string(ifindex);
  }

  std::string cgroupName(uint64_t id) const {
    auto found = paths.find(id);
    if (found != paths.end()) return found->second;
    std::string path = sources.cgroupPath ? sources.cgroupPath(id) : "";
    return path.empty() ? "cgroup " + std::to_string(id) : path;
  }

  std::string targetOf(const KernelLink& link) const {
    if (link.ifindex != 0) return interfaceName(link.netns, link.ifindex);
    if (link.cgroupId != 0) return cgroupName(link.cgroupId);
    std::string target = linkTarget(link);
    if (link.targetProgramId != 0) return "program " + std::to_string(link.targetProgramId) + (target.empty() ? "" : " " + target);
    if (!target.empty()) return target;
    if (link.count != 0) return std::to_string(link.count) + " functions";
    if (link.mapId != 0) return "map " + std::to_string(link.mapId);
    return link.netns != 0 ? "netns " + std::to_string(link.netns) : "";
  }

  void addLink(const KernelLink& link) {
    bool onDevice = link.type == BPF_LINK_TYPE_XDP || link.type == BPF_LINK_TYPE_TCX || link.type == BPF_LINK_TYPE_NETKIT;
    bool onCgroup = link.type == BPF_LINK_TYPE_CGROUP;
    if (link.type == BPF_LINK_TYPE_ITER || (onDevice && link.ifindex == 0) || (onCgroup && link.cgroupId == 0)) return;
    byLink[link.id] = attachments.size();
    if (onCgroup) byCgroup.emplace(std::tuple(link.cgroupId, link.attachType, link.programId), attachments.size());
    if (link.type == BPF_LINK_TYPE_XDP) xdpLinks.emplace(link.netns, link.ifindex, link.programId);
    attachments.push_back({.programId = link.programId,
                           .linkId = link.id,
                           .hook = hookOf(link),
                           .target = targetOf(link),
                           .ifindex = link.ifindex,
                           .nsid = link.netns,
                           .position = link.type == BPF_LINK_TYPE_XDP ? 0 : -1});
  }

  // Gives links their positions, and adds what is at the hook without a link.
  void addHook(const HookView& hook) {
    bool toldLinks = hook.linkIds.size() == hook.programIds.size();
    for (size_t i = 0; i < hook.programIds.size(); i++) {
      uint32_t program = hook.programIds[i], link = toldLinks ? hook.linkIds[i] : 0;
      if (link != 0) {
        auto found = byLink.find(link);
        if (found != byLink.end()) {
          attachments[found->second].position = i;
          continue;
        }
      } else if (auto found = byCgroup.find({hook.cgroupId, hook.attachType, program}); hook.cgroupId != 0 && found != byCgroup.end()) {
        attachments[found->second].position = i;
        byCgroup.erase(found);  // the same program may be there once with a link and once without
        continue;
      }
      attachments.push_back({.programId = program,
                             .linkId = link,
                             .hook = attachHookName(hook.attachType).cStr(),
                             .target = hook.ifindex != 0 ? interfaceName(hook.nsid, hook.ifindex) : cgroupName(hook.cgroupId),
                             .ifindex = hook.ifindex,
                             .nsid = hook.nsid,
                             .position = int32_t(i),
                             .how = link != 0 ? "link" : "attach"});
    }
  }

  void addXdp(const NetnsView& space, const Interface& interface) {
    struct {
      uint32_t program;
      const char* hook;
    } modes[] = {{interface.driverProgram, "xdp"}, {interface.genericProgram, "xdp generic"}, {interface.hardwareProgram, "xdp offload"}};
    for (auto& mode : modes) {
      if (mode.program == 0 || xdpLinks.contains({space.nsid, interface.index, mode.program})) continue;
      attachments.push_back({.programId = mode.program,
                             .hook = mode.hook,
                             .target = interface.name,
                             .ifindex = interface.index,
                             .nsid = space.nsid,
                             .position = 0,
                             .how = "netlink"});
    }
  }

  void addFilters(const NetnsView& space) {
    std::map<std::pair<uint32_t, bool>, int32_t> next;
    for (auto& filter : space.filters) {
      attachments.push_back({.programId = filter.programId,
                             .hook = filter.egress ? "tc egress" : "tc ingress",
                             .target = interfaceName(space.nsid, filter.ifindex),
                             .ifindex = filter.ifindex,
                             .nsid = space.nsid,
                             .position = next[{filter.ifindex, filter.egress}]++,
                             .how = "filter"});
    }
  }
};

}  // namespace

std::vector<Attachment> joinAttachments(const AttachmentSources& sources) { return Join(sources).all(); }

void describe(const Attachment& attachment, bool managed, schema::Attachment::Builder to) {
  to.setProgramId(attachment.programId);
  to.setLinkId(attachment.linkId);
  to.setHook(attachment.hook.c_str());
  to.setTarget(attachment.target.c_str());
  to.setIfindex(attachment.ifindex);
  to.setNsid(attachment.nsid);
  to.setPosition(attachment.position);
  to.setHow(attachment.how);
  to.setManaged(managed);
}

}  // namespace bpfman
