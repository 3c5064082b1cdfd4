// bpfman dispatcher list, get, count, park, unpark, plan: the chains by which XDP and TC programs share an interface.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"

#include <net/if.h>
#include <sys/stat.h>

#include <charconv>
#include <cstring>
#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct Key {
  std::string type, output = "text";
  uint64_t nsid = 0;
  uint32_t ifindex = 0;
};

template <typename Number>
Number numberFrom(const std::string& word, const char* name) {
  Number number = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) fail(kj::str("Could not convert: ", name, " = ", word.c_str()));
  return number;
}

// INTERFACE, of the network namespace that we are in, or NSID IFINDEX.
void setHook(Key& key, const std::vector<std::string>& words) {
  if (words.size() == 1) {
    struct stat netns;
    key.ifindex = if_nametoindex(words[0].c_str());
    if (key.ifindex == 0) fail(kj::str("interface \"", words[0].c_str(), "\" does not exist here; name it, or give NSID IFINDEX"));
    if (stat("/proc/self/ns/net", &netns) < 0) fail(kj::str("/proc/self/ns/net: ", strerror(errno)));
    key.nsid = netns.st_ino;
    return;
  }
  key.nsid = numberFrom<uint64_t>(words[0], "NSID");
  key.ifindex = numberFrom<uint32_t>(words[1], "IFINDEX");
}

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

int count(Session& session, const Key& key, schema::Counting counting) {
  auto request = session.connection().links().countRequest();
  request.setType(key.type.c_str());
  request.setNsid(key.nsid);
  request.setIfindex(key.ifindex);
  request.setCounting(counting);
  session.wait(request.send());
  return 0;
}

int park(Session& session, const std::string& type, const std::string& interface, const std::string& netns, bool parked) {
  auto request = session.connection().links().parkRequest();
  request.setType(type.c_str());
  request.setInterface(interface.c_str());
  if (!netns.empty()) {
    request.setNetns(carry(openNetns(netns.c_str())));
    request.setNetnsPath(netns.c_str());
  }
  request.setParked(parked);
  session.wait(request.send());
  return 0;
}

constexpr const char* HOOK = "An interface's name, or the network namespace's inode and the interface's index";

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
  auto words = std::make_shared<std::vector<std::string>>();
  getting.add_option("HOOK", *words, HOOK)->required()->expected(1, 2)->type_name("INTERFACE|NSID IFINDEX");
  addOutput(getting, key->output);
  getting.callback([key, words, &chosen] {
    chosen = [key, words](Session& session) {
      setHook(*key, *words);
      return get(session, *key);
    };
  });

  auto& counting = *parent.add_subcommand("count", "Switch what a dispatcher counts of each member; 'dispatcher get' shows it");
  counting.add_option("TYPE", key->type, "xdp, tc-ingress or tc-egress")->required()->check(types);
  counting.add_option("HOOK", *words, kj::str(HOOK, "; then off, verdicts or time").cStr())
      ->required()
      ->expected(2, 3)
      ->type_name("INTERFACE|NSID IFINDEX off|verdicts|time");
  counting.callback([key, words, &chosen] {
    chosen = [key, words](Session& session) {
      auto wanted = parseCounting(words->back());
      words->pop_back();
      setHook(*key, *words);
      return count(session, *key, wanted);
    };
  });

  struct Parking {
    std::string type, interface, netns;
  };
  for (bool parked : {true, false}) {
    auto parking = std::make_shared<Parking>();
    auto& app = *parent.add_subcommand(parked ? "park" : "unpark", parked ? "Let a dispatcher stay on an interface also without members"
                                                                          : "Let it go with its last member, or now");
    app.add_option("TYPE", parking->type, "xdp, tc-ingress or tc-egress")->required()->check(types);
    app.add_option("INTERFACE", parking->interface, "The interface's name")->required();
    app.add_option("-n,--netns", parking->netns, "PATH of the interface's network namespace (default: the host's)");
    app.callback([parking, parked, &chosen] {
      chosen = [parking, parked](Session& session) { return park(session, parking->type, parking->interface, parking->netns, parked); };
    });
  }
}

}  // namespace bpfman
