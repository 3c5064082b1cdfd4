// bpfman link attach: one row for each kind of hook, its arguments and how they become a Place.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"
#include "client/symbol.h"

#include <filesystem>
#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct AttachArguments {
  uint32_t program = 0;
  std::string interface, direction, netns, tracepoint, cgroup, binary, function, output = "text";
  int32_t priority = -1;
  uint32_t process = 0, container = 0;  // pids
  uint64_t offset = 0;                  // from the function, or else in the file
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

void setCgroup(schema::Place::Builder place, const AttachArguments& arguments) {
  auto cgroup = place.initCgroup();
  cgroup.setCgroup(carry(openPath(arguments.cgroup.c_str())));
  cgroup.setDirection(parseDirection(arguments.direction));
}

// A library's name, such as "libc", is looked for where the dynamic linker does; a path is taken as it is, inside the container if one
// is named.
std::string binaryPath(const AttachArguments& arguments) {
  namespace fs = std::filesystem;
  std::string root = arguments.container ? "/proc/" + std::to_string(arguments.container) + "/root" : "";
  if (arguments.binary.find('/') != std::string::npos) return root + arguments.binary;
  for (auto directory : {"/lib64", "/usr/lib64", "/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib", "/usr/lib", "/usr/local/lib"}) {
    std::error_code none;
    for (auto& entry : fs::directory_iterator(root + directory, none)) {
      if (entry.path().filename().string().starts_with(arguments.binary + ".so")) return entry.path();
    }
  }
  fail(kj::str("there is no library ", arguments.binary.c_str(), ": give the binary's path"));
}

void setUprobe(schema::Place::Builder place, const AttachArguments& arguments) {
  auto uprobe = place.initUprobe();
  auto path = binaryPath(arguments);
  if (arguments.function.empty() && arguments.offset == 0) fail(kj::str("say where: --fn-name, or --offset in the file"));
  uint64_t start = arguments.function.empty() ? 0 : offsetOf(path.c_str(), arguments.function.c_str());
  uprobe.setBinary(carry(openPath(path.c_str())));
  uprobe.setOffset(start + arguments.offset);
  if (arguments.process) uprobe.setProcess(carry(openProcess(arguments.process)));
  uprobe.setPath(arguments.binary.c_str());
  uprobe.setFunction(arguments.function.c_str());
}

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

  auto& cgroup = add("cgroup", "To a cgroup: cgroup_skb programs see its packets", setCgroup);
  cgroup.add_option(named("CGROUP", "-c,--cgroup"), arguments->cgroup, "PATH of its directory in cgroup2")->required();
  cgroup.add_option(named("DIRECTION", "-d,--direction"), arguments->direction, "ingress or egress")->required();

  auto& uprobe = add("uprobe", "To a function of a binary; of a uretprobe program: to its return", setUprobe);
  uprobe.add_option(named("TARGET", "-t,--target"), arguments->binary, "PATH of the program or library, or a library's name")->required();
  uprobe.add_option("-f,--fn-name", arguments->function, "The function");
  uprobe.add_option("-o,--offset", arguments->offset, "Bytes behind the function's start; without one, in the file");
  uprobe.add_option("-p,--pid", arguments->process, "Only in this process (default: in all)")->check(CLI::Range(1, INT32_MAX));
  uprobe.add_option("--container-pid", arguments->container, "TARGET is as this process sees it")->check(CLI::Range(1, INT32_MAX));

  for (auto kind : {"tc", "kprobe", "fentry", "fexit", "lsm"}) {
    addUnsupported(parent, kind, "it attaches xdp, tcx, tracepoint, raw_tp, tp_btf, cgroup and uprobe", chosen);
  }
}

}  // namespace bpfman
