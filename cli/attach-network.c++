// Hooks of cgroups, network namespaces and sockets.
#include "cli/attach-kinds.h"
#include "cli/text.h"
#include "cli/values.h"

#include <linux/netfilter.h>

#include <iterator>

namespace bpfman {
namespace {

void setCgroup(schema::Place::Builder place, const AttachArguments& arguments) {
  auto cgroup = place.initCgroup();
  cgroup.setCgroup(carry(openPath(arguments.cgroup.c_str())));
  cgroup.setDirection(arguments.direction.empty() ? schema::Direction::SECTION : parseDirection(arguments.direction));
}

void setNetnsAlone(schema::Place::Builder place, const AttachArguments& arguments) { setNetns(place.initNetns(), arguments); }

constexpr const char* HOOKS[] = {"prerouting", "input", "forward", "output", "postrouting"};  // by number: NF_INET_*

void setNetfilter(schema::Place::Builder place, const AttachArguments& arguments) {
  auto netfilter = place.initNetfilter();
  netfilter.setFamily(arguments.family == "ipv6" ? NFPROTO_IPV6 : NFPROTO_IPV4);
  for (size_t i = 0; i < std::size(HOOKS); ++i)
    if (arguments.hook == HOOKS[i]) netfilter.setHook(i);
  netfilter.setPriority(arguments.priority);
  netfilter.setDefragment(arguments.defragment);
  setNetns(netfilter, arguments);
}

void setSockets(schema::Place::Builder place, const AttachArguments& arguments) { place.setSockets(arguments.map); }

}  // namespace

void addCgroupAndNetworkKinds(Kinds& kinds) {
  auto& given = *kinds.arguments;
  auto& cgroup = kinds.add("cgroup", "To a cgroup: it runs for what the processes in it do", setCgroup);
  cgroup.add_option(kinds.named("CGROUP", "-c,--cgroup"), given.cgroup, "PATH of its directory in cgroup2")->required();
  cgroup.add_option(kinds.named("DIRECTION", "-d,--direction"), given.direction,
                    "Of cgroup_skb: ingress or egress (default: what the program's section says)");
  addNeighbours(cgroup, given);

  for (auto name : {"sk_lookup", "flow_dissector"}) addNetns(kinds.add(name, "To a network namespace", setNetnsAlone), given);
  auto& netfilter = kinds.add("netfilter", "To a hook of netfilter", setNetfilter);
  netfilter.add_option(kinds.named("FAMILY", "--family"), given.family, "ipv4 or ipv6")->required()->check(CLI::IsMember({"ipv4", "ipv6"}));
  netfilter.add_option(kinds.named("HOOK", "--hook"), given.hook, "prerouting, input, forward, output or postrouting")
      ->required()
      ->check(CLI::IsMember({"prerouting", "input", "forward", "output", "postrouting"}));
  netfilter.add_option("-p,--priority", given.priority, "Lower runs first, as the kernel counts: 0 is the filter tables'")->required();
  netfilter.add_flag("--defragment", given.defragment, "It sees whole packets");
  addNetns(netfilter, given);

  kinds.add("sockmap", "To the sockets in a sockmap or sockhash (sk_msg, sk_skb programs)", setSockets)
      .add_option(kinds.named("MAP", "--map"), given.map, "The map's id")
      ->required();
}

}  // namespace bpfman
