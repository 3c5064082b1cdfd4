// The kinds of hooks that `link attach` knows: a sub-command each, with its arguments and how they become a Place.
#pragma once

#include "cli/commands.h"
#include "cli/names.h"
#include "client/descriptor.h"
#include "client/symbol.h"

#include <functional>
#include <memory>

namespace bpfman {

struct AttachArguments {
  uint32_t program = 0;
  std::string interface, direction, netns, tracepoint, cgroup, binary, function, event, output = "text";
  int32_t priority = -1;
  uint32_t process = 0, container = 0, map = 0;  // pids; a map's id
  std::string operations;                        // the map of a struct_ops
  uint64_t offset = 0;                           // from the function, or else in the file
  uint64_t period = 0, frequency = 0;            // of an event
  int32_t cpu = -1;
  std::string family, hook;  // of netfilter
  bool defragment = false;
  std::string probe;                // PROVIDER:NAME
  std::vector<StaticProbe> probes;  // where it is
  std::vector<uint64_t> cookies;    // of each
  std::string confirmWithin;
  bool adopt = false;
  int32_t adoptedPriority = 50;
  std::vector<std::string> proceedOn, metadata, before, after, functions;
};

using SetPlace = void (*)(schema::Place::Builder place, const AttachArguments& arguments);

using Prepare = void (*)(Session& session, AttachArguments& arguments);  // what is to be asked before the place is known
using Act = std::function<int(Session& session, const AttachArguments& arguments, SetPlace setPlace)>;

struct Kinds {  // where the commands are added, and what they do
  CLI::App& parent;
  Words words;
  Act act;
  Command& chosen;
  std::shared_ptr<AttachArguments> arguments = std::make_shared<AttachArguments>();

  std::string named(std::string place, const char* options) const { return words == Words::byPlace ? place : place + "," + options; }

  CLI::App& add(const char* name, const char* description, SetPlace setPlace, Prepare prepare = nullptr) {
    auto& app = *parent.add_subcommand(name, description);
    if (words == Words::byPlace) app.add_option("PROGRAM", arguments->program, "The program's id")->required();
    addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE, kept with the link; may be repeated");
    addOutput(app, arguments->output);
    app.callback([arguments = arguments, act = act, setPlace, prepare, &chosen = chosen] {
      chosen = [arguments, act, setPlace, prepare](Session& session) {
        if (prepare) prepare(session, *arguments);
        return act(session, *arguments, setPlace);
      };
    });
    return app;
  }
  void addInterface(CLI::App& app) {
    app.add_option(named("INTERFACE", "-i,--iface"), arguments->interface, "The interface's name")->required();
  }
  void addDirection(CLI::App& app) {
    app.add_option(named("DIRECTION", "-d,--direction"), arguments->direction, "ingress or egress")->required();
  }
};

inline void addNetns(CLI::App& app, AttachArguments& arguments) {
  app.add_option("-n,--netns", arguments.netns, "PATH of the network namespace (default: the host's)");
}

inline void addNeighbours(CLI::App& app, AttachArguments& arguments) {
  addRepeated(app, "--before", arguments.before, "WHO[,...] of the hook runs later: link:ID, a program's id or a function's name");
  addRepeated(app, "--after", arguments.after, "WHO[,...] of the hook runs earlier");
}

template <typename Group>
void setNetns(Group place, const AttachArguments& arguments) {
  if (arguments.netns.empty()) return;
  place.setNetns(carry(openNetns(arguments.netns.c_str())));
  place.setNetnsPath(arguments.netns.c_str());
}

void chooseUsdtSpecs(Session& session, AttachArguments& arguments);  // usdt.c++
// Finds the probe in the binary, and gives the program's map what it needs to read the arguments.

std::string binaryPath(const AttachArguments& arguments);
void addTracingKinds(Kinds& kinds);                       // attach-tracing.c++
void addCgroupAndNetworkKinds(Kinds& kinds);              // attach-network.c++
void addAttachSocket(CLI::App& parent, Command& chosen);  // attach-socket.c++

}  // namespace bpfman
