// bpfman link attach, dispatcher plan with the same arguments, and the same as a step of a change: one row for each kind of hook, its
// arguments and how they become a Place.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"
#include "client/symbol.h"

#include <charconv>
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
  std::string confirmWithin;
  bool adopt = false;
  int32_t adoptedPriority = 50;
  std::vector<std::string> proceedOn, metadata, before, after;
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

template <typename Group>
void setProceedOn(Group place, schema::ProgramType type, const AttachArguments& arguments) {
  auto words = splitAll(arguments.proceedOn);
  auto verdicts = place.initProceedOn(words.size());
  for (size_t i = 0; i < words.size(); i++) verdicts.set(i, parseVerdict(type, words[i]));
}

void setXdp(schema::Place::Builder place, const AttachArguments& arguments) {
  auto xdp = place.initXdp();
  xdp.setAdopt(arguments.adopt);
  xdp.setAdoptedPriority(arguments.adoptedPriority);
  setProceedOn(xdp, schema::ProgramType::XDP, arguments);
  setInterface(xdp, arguments);
}

void setTc(schema::Place::Builder place, const AttachArguments& arguments) {
  auto tc = place.initTc();
  tc.setDirection(parseDirection(arguments.direction));
  setProceedOn(tc, schema::ProgramType::TC, arguments);
  setInterface(tc, arguments);
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

// "link:8", a program's id, or a function's name.
void setNeighbours(capnp::List<schema::Neighbour>::Builder neighbours, const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); i++) {
    auto& word = words[i];
    bool link = word.rfind("link:", 0) == 0;
    uint32_t number = 0;
    const char *begin = word.c_str() + (link ? 5 : 0), *end = word.c_str() + word.size();
    auto [rest, error] = std::from_chars(begin, end, number);
    bool isNumber = error == std::errc() && rest == end;
    if (word.empty() || (link && !isNumber)) fail(kj::str("\"", word.c_str(), "\": expected link:ID, a program's id or a function's name"));
    if (link) {
      neighbours[i].setLink(number);
    } else if (isNumber) {
      neighbours[i].setProgram(number);
    } else {
      neighbours[i].setName(word.c_str());
    }
  }
}

template <typename Params>
void setParameters(Params params, const AttachArguments& arguments, SetPlace setPlace) {
  setPlace(params.initPlace(), arguments);
  auto before = splitAll(arguments.before), after = splitAll(arguments.after);
  setNeighbours(params.initBefore(before.size()), before);
  setNeighbours(params.initAfter(after.size()), after);
}

// What is wrong in the arguments costs no call: the request is written into a scratch message first.
template <typename Params>
typename Params::Builder parametersOf(capnp::MallocMessageBuilder& scratch, const AttachArguments& arguments, SetPlace setPlace) {
  auto params = scratch.initRoot<Params>();
  setParameters(params, arguments, setPlace);
  return params;
}

FillStep stepOf(const AttachArguments& arguments, SetPlace setPlace) {
  return [arguments, setPlace](schema::ChangeStep::Builder step) {
    auto attach = step.initAttach();
    attach.setProgramId(arguments.program);
    setParameters(attach, arguments, setPlace);
    put(attach.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");
  };
}

schema::Program::Client programOf(Session& session, const AttachArguments& arguments) {
  auto programs = session.connection().programs().getRequest();
  programs.setId(arguments.program);
  return programs.send().getProgram();
}

int attach(Session& session, const AttachArguments& arguments, SetPlace setPlace) {
  if (!arguments.confirmWithin.empty())
    return carryOut(session, {stepOf(arguments, setPlace)}, {arguments.confirmWithin, arguments.output});
  capnp::MallocMessageBuilder scratch;
  auto params = parametersOf<schema::Program::AttachParams>(scratch, arguments, setPlace);
  put(params.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");

  auto request = programOf(session, arguments).attachRequest();
  request.setPlace(params.getPlace());
  request.setMetadata(params.getMetadata());
  request.setBefore(params.getBefore());
  request.setAfter(params.getAfter());
  auto answer = session.wait(request.send());
  if (arguments.output == "json") {
    print(std::cout, jsonOf(answer.getDetails()));
  } else {
    printLink(std::cout, answer.getDetails());
  }
  return 0;
}

int plan(Session& session, const AttachArguments& arguments, SetPlace setPlace) {
  capnp::MallocMessageBuilder scratch;
  auto params = parametersOf<schema::Program::PlanParams>(scratch, arguments, setPlace);
  auto request = programOf(session, arguments).planRequest();
  request.setPlace(params.getPlace());
  request.setBefore(params.getBefore());
  request.setAfter(params.getAfter());
  auto answer = session.wait(request.send());
  if (arguments.output == "json") {
    print(std::cout, {{"now", jsonArray(answer.getNow())}, {"then", jsonArray(answer.getThen())}});
  } else {
    printPlan(std::cout, "Now:", answer.getNow());
    printPlan(std::cout, "Then:", answer.getThen());
  }
  return 0;
}

void addOrder(CLI::App& app, AttachArguments& arguments, bool required) {
  app.add_option("-p,--priority", arguments.priority,
                 required ? "Lower runs first, from 0" : "Lower runs first, from 0 (default: what the object says, or 50)")
      ->required(required)
      ->check(CLI::Range(0, INT32_MAX));
  app.add_option("-n,--netns", arguments.netns, "PATH of the interface's network namespace (default: the host's)");
  addRepeated(app, "--before", arguments.before, "WHO[,...] of the hook runs later: link:ID, a program's id or a function's name");
  addRepeated(app, "--after", arguments.after, "WHO[,...] of the hook runs earlier");
}

using Act = std::function<int(Session& session, const AttachArguments& arguments, SetPlace setPlace)>;

struct Kinds {  // where the commands are added, and what they do
  CLI::App& parent;
  Words words;
  Act act;
  Command& chosen;
  std::shared_ptr<AttachArguments> arguments = std::make_shared<AttachArguments>();

  std::string named(std::string place, const char* options) const { return words == Words::byPlace ? place : place + "," + options; }

  CLI::App& add(const char* name, const char* description, SetPlace setPlace) {
    auto& app = *parent.add_subcommand(name, description);
    if (words == Words::byPlace) app.add_option("PROGRAM", arguments->program, "The program's id")->required();
    addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE, kept with the link; may be repeated");
    addOutput(app, arguments->output);
    app.callback([arguments = arguments, act = act, setPlace, &chosen = chosen] {
      chosen = [arguments, act, setPlace](Session& session) { return act(session, *arguments, setPlace); };
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

// Those whose programs share a hook.
void addOrdered(Kinds& kinds) {
  auto& xdp = kinds.add("xdp", "To an interface, before the network stack", setXdp);
  kinds.addInterface(xdp);
  addOrder(xdp, *kinds.arguments, false);
  addConfirmWithin(xdp, kinds.arguments->confirmWithin);
  addRepeated(xdp, "--proceed-on", kinds.arguments->proceedOn, "VERDICT[,...] after which the next program runs (pass,dispatcher_return)");

  auto adopt =
      xdp.add_flag("--adopt", kinds.arguments->adopt,
                   "Another tool's program that runs there without a dispatcher becomes a member, and is given back alone in the end");
  xdp.add_option("--adopted-priority", kinds.arguments->adoptedPriority, "Its priority (default: 50)")
      ->needs(adopt)
      ->check(CLI::Range(0, INT32_MAX));

  auto& tc = kinds.add("tc", "To an interface's ingress or egress, by a dispatcher", setTc);
  kinds.addInterface(tc);
  kinds.addDirection(tc);
  addOrder(tc, *kinds.arguments, true);
  addConfirmWithin(tc, kinds.arguments->confirmWithin);
  addRepeated(tc, "--proceed-on", kinds.arguments->proceedOn, "VERDICT[,...] after which the next program runs (pipe,dispatcher_return)");

  auto& tcx = kinds.add("tcx", "To an interface's ingress or egress, by the kernel's own order", setTcx);
  kinds.addInterface(tcx);
  kinds.addDirection(tcx);
  addOrder(tcx, *kinds.arguments, true);
}

}  // namespace

void addAttachKinds(CLI::App& parent, Words words, Command& chosen) {
  Kinds kinds{parent, words, attach, chosen};
  if (words == Words::byOption) parent.add_option("PROGRAM", kinds.arguments->program, "The program's id")->required();
  addOrdered(kinds);
  kinds.add("tracepoint", "To a tracepoint of the kernel", setTracepoint)
      .add_option(kinds.named("TRACEPOINT", "-t,--tracepoint"), kinds.arguments->tracepoint, "GROUP/NAME")
      ->required();
  kinds.add("raw_tp", "To a raw tracepoint", setRawTracepoint)
      .add_option(kinds.named("TRACEPOINT", "-t,--tracepoint"), kinds.arguments->tracepoint,
                  "NAME (default: the one in the program's section)");
  kinds.add("tp_btf", "To the tracepoint that was fixed at load", setTpBtf);

  auto& cgroup = kinds.add("cgroup", "To a cgroup: cgroup_skb programs see its packets", setCgroup);
  cgroup.add_option(kinds.named("CGROUP", "-c,--cgroup"), kinds.arguments->cgroup, "PATH of its directory in cgroup2")->required();
  kinds.addDirection(cgroup);

  auto& uprobe = kinds.add("uprobe", "To a function of a binary; of a uretprobe program: to its return", setUprobe);
  uprobe.add_option(kinds.named("TARGET", "-t,--target"), kinds.arguments->binary, "PATH of the program or library, or a library's name")
      ->required();
  uprobe.add_option("-f,--fn-name", kinds.arguments->function, "The function");
  uprobe.add_option("--offset", kinds.arguments->offset, "Bytes behind the function's start; without one, in the file");
  uprobe.add_option("-p,--pid", kinds.arguments->process, "Only in this process (default: in all)")->check(CLI::Range(1, INT32_MAX));
  uprobe.add_option("--container-pid", kinds.arguments->container, "TARGET is as this process sees it")->check(CLI::Range(1, INT32_MAX));

  for (auto kind : {"kprobe", "fentry", "fexit", "lsm"}) {
    addUnsupported(parent, kind, "it attaches xdp, tc, tcx, tracepoint, raw_tp, tp_btf, cgroup and uprobe", chosen);
  }
}

void addAttachSteps(CLI::App& parent, std::vector<FillStep>& steps, Command& chosen) {
  Kinds kinds{parent, Words::byPlace,
              [&steps](Session&, const AttachArguments& arguments, SetPlace setPlace) {
                steps.push_back(stepOf(arguments, setPlace));
                return 0;
              },
              chosen};
  addOrdered(kinds);
}

void addPlanKinds(CLI::App& parent, Command& chosen) {
  Kinds kinds{parent, Words::byPlace, plan, chosen};
  addOrdered(kinds);
}

}  // namespace bpfman
