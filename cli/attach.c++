// bpfman link attach: one row for each kind of hook, its arguments and how they become a Place.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct AttachArguments {
  uint32_t program = 0;
  std::string interface, direction, netns, tracepoint, output = "text";
  int32_t priority = -1;
  std::vector<std::string> proceedOn, metadata;
};

using SetPlace = void (*)(schema::Place::Builder place, const AttachArguments& arguments);

template <typename Group>
void setInterface(Group place, const AttachArguments& arguments) {
  place.setInterface(arguments.interface.c_str());
  place.setPriority(arguments.priority);
  if (arguments.netns.empty()) return;
  place.setNetns(carry(openNetns(arguments.netns.c_str())));
  place.setNetnsPath(arguments.netns.c_str());
}

void setXdp(schema::Place::Builder place, const AttachArguments& arguments) {
  auto xdp = place.initXdp();
  auto words = splitAll(arguments.proceedOn);
  auto verdicts = xdp.initProceedOn(words.size());
  for (size_t i = 0; i < words.size(); i++) verdicts.set(i, parseVerdict(words[i]));
  setInterface(xdp, arguments);
}

void setTcx(schema::Place::Builder place, const AttachArguments& arguments) {
  auto tcx = place.initTcx();
  tcx.setDirection(parseDirection(arguments.direction));
  setInterface(tcx, arguments);
}

void setTracepoint(schema::Place::Builder place, const AttachArguments& arguments) {
  auto& name = arguments.tracepoint;
  auto slash = name.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == name.size() || name.find('/', slash + 1) != std::string::npos) {
    fail(kj::str("tracepoint \"", name.c_str(), "\": expected GROUP/NAME"));
  }
  auto tracepoint = place.initTracepoint();
  tracepoint.setGroup(name.substr(0, slash).c_str());
  tracepoint.setName(name.substr(slash + 1).c_str());
}

void setRawTracepoint(schema::Place::Builder place, const AttachArguments& arguments) {
  place.setRawTracepoint(arguments.tracepoint.c_str());
}

void setTpBtf(schema::Place::Builder place, const AttachArguments& arguments) { place.setTpBtf(); }

int attach(Session& session, const AttachArguments& arguments, SetPlace setPlace) {
  // The place and the metadata are written before the daemon is asked: what is wrong in the arguments costs no call.
  capnp::MallocMessageBuilder scratch;
  auto params = scratch.initRoot<schema::Program::AttachParams>();
  setPlace(params.initPlace(), arguments);
  put(params.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");

  auto programs = session.connection().programs().getRequest();
  programs.setId(arguments.program);
  auto request = programs.send().getProgram().attachRequest();
  request.setPlace(params.getPlace());
  request.setMetadata(params.getMetadata());
  auto answer = session.wait(request.send());
  if (arguments.output == "json") {
    print(std::cout, jsonOf(answer.getDetails()));
  } else {
    printLink(std::cout, answer.getDetails());
  }
  return 0;
}

void addOrder(CLI::App& app, AttachArguments& arguments, bool required) {
  app.add_option("-p,--priority", arguments.priority, required ? "Lower runs first, from 0" : "Lower runs first, from 0 (default: what the object says, or 50)")
      ->required(required)
      ->check(CLI::Range(0, INT32_MAX));
  app.add_option("-n,--netns", arguments.netns, "PATH of the interface's network namespace (default: the host's)");
}

}  // namespace

void addAttachKinds(CLI::App& parent, Words words, Command& chosen) {
  auto arguments = std::make_shared<AttachArguments>();
  if (words == Words::byOption) parent.add_option("PROGRAM", arguments->program, "The program's id")->required();
  auto named = [words](std::string place, const char* options) { return words == Words::byPlace ? place : place + "," + options; };
  auto add = [&](const char* name, const char* description, SetPlace setPlace) -> CLI::App& {
    auto& app = *parent.add_subcommand(name, description);
    if (words == Words::byPlace) app.add_option("PROGRAM", arguments->program, "The program's id")->required();
    addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE, kept with the link; may be repeated");
    addOutput(app, arguments->output);
    app.callback([arguments, setPlace, &chosen] {
      chosen = [arguments, setPlace](Session& session) { return attach(session, *arguments, setPlace); };
    });
    return app;
  };

  auto& xdp = add("xdp", "To an interface, before the network stack", setXdp);
  xdp.add_option(named("INTERFACE", "-i,--iface"), arguments->interface, "The interface's name")->required();
  addOrder(xdp, *arguments, false);
  addRepeated(xdp, "--proceed-on", arguments->proceedOn, "VERDICT[,...] after which the next program runs (pass,dispatcher_return)");

  auto& tcx = add("tcx", "To an interface's ingress or egress", setTcx);
  tcx.add_option(named("INTERFACE", "-i,--iface"), arguments->interface, "The interface's name")->required();
  tcx.add_option(named("DIRECTION", "-d,--direction"), arguments->direction, "ingress or egress")->required();
  addOrder(tcx, *arguments, true);

  add("tracepoint", "To a tracepoint of the kernel", setTracepoint)
      .add_option(named("TRACEPOINT", "-t,--tracepoint"), arguments->tracepoint, "GROUP/NAME")
      ->required();
  add("raw_tp", "To a raw tracepoint", setRawTracepoint)
      .add_option(named("TRACEPOINT", "-t,--tracepoint"), arguments->tracepoint, "NAME (default: the one in the program's section)");
  add("tp_btf", "To the tracepoint that was fixed at load", setTpBtf);

  for (auto kind : {"tc", "kprobe", "uprobe", "fentry", "fexit", "lsm"}) {
    addUnsupported(parent, kind, "it attaches xdp, tcx, tracepoint, raw_tp and tp_btf", chosen);
  }
}

}  // namespace bpfman
