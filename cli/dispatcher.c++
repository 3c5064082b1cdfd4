// bpfman dispatcher list, get, plan: the chains by which XDP and TC programs share an interface.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct Key {
  std::string type, output = "text";
  uint64_t nsid = 0;
  uint32_t ifindex = 0;
};

capnp::Response<schema::Links::DispatchersResults> find(Session& session, const Key& key) {
  auto request = session.connection().links().dispatchersRequest();
  request.setType(key.type.c_str());
  request.setNsid(key.nsid);
  request.setIfindex(key.ifindex);
  return session.wait(request.send());
}

int list(Session& session, const Key& key) {
  auto answer = find(session, key);
  if (key.output == "json") {
    print(std::cout, {{"dispatchers", jsonArray(answer.getDispatchers())}});
  } else {
    printDispatchers(std::cout, answer.getDispatchers());
  }
  return 0;
}

int get(Session& session, const Key& key) {
  auto answer = find(session, key);
  if (answer.getDispatchers().size() == 0) {
    fail(kj::str("dispatcher (", key.type.c_str(), ", ", key.nsid, ", ", key.ifindex, "): record not found"));
  }
  auto dispatcher = answer.getDispatchers()[0];
  if (key.output == "json") {
    print(std::cout, jsonOf(dispatcher));
  } else {
    printDispatcher(std::cout, dispatcher);
  }
  return 0;
}

}  // namespace

void addDispatcher(CLI::App& parent, Command& chosen) {
  auto types = CLI::IsMember({"xdp", "tc-ingress", "tc-egress"});
  auto wanted = std::make_shared<Key>();
  auto& listing = *parent.add_subcommand("list", "List dispatchers");
  listing.add_option("--type", wanted->type, "Only this type: xdp, tc-ingress or tc-egress")->check(types);
  listing.add_option("--nsid", wanted->nsid, "Only in the network namespace with this inode");
  listing.add_option("--ifindex", wanted->ifindex, "Only of the interface with this index");
  addOutput(listing, wanted->output);
  listing.callback([wanted, &chosen] { chosen = [wanted](Session& session) { return list(session, *wanted); }; });

  addPlanKinds(*parent.add_subcommand("plan", "Show what 'link attach' with the same arguments would do to the order; change nothing"),
               chosen);

  auto key = std::make_shared<Key>();
  auto& getting = *parent.add_subcommand("get", "Show a dispatcher and its members in their order");
  getting.add_option("TYPE", key->type, "xdp, tc-ingress or tc-egress")->required()->check(types);
  getting.add_option("NSID", key->nsid, "The network namespace's inode")->required();
  getting.add_option("IFINDEX", key->ifindex, "The interface's index")->required();
  addOutput(getting, key->output);
  getting.callback([key, &chosen] { chosen = [key](Session& session) { return get(session, *key); }; });
}

}  // namespace bpfman
