// bpfman link attach, dispatcher plan with the same arguments, and the same as a step of a change; and the kinds of hooks that programs
// share in an order.
#include "cli/attach-kinds.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"

#include <charconv>
#include <iostream>

namespace bpfman {
namespace {

template <typename Group>
void setInterface(Group place, const AttachArguments& arguments) {
  place.setInterface(arguments.interface.c_str());
  place.setPriority(arguments.priority);
  setNetns(place, arguments);
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

void setNetkit(schema::Place::Builder place, const AttachArguments& arguments) {
  auto netkit = place.initNetkit();
  netkit.setPeer(arguments.direction == "peer");
  setInterface(netkit, arguments);
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
  addNetns(app, arguments);
  addNeighbours(app, arguments);
}

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

  auto& netkit = kinds.add("netkit", "To a netkit device, by the kernel's own order", setNetkit);
  kinds.addInterface(netkit);
  netkit
      .add_option(kinds.named("SIDE", "-d,--side"), kinds.arguments->direction, "primary or peer: whose packets it sees as they are sent")
      ->required()
      ->check(CLI::IsMember({"primary", "peer"}));
  addOrder(netkit, *kinds.arguments, true);
}

}  // namespace

void addAttachKinds(CLI::App& parent, Words words, Command& chosen) {
  Kinds kinds{parent, words, attach, chosen};
  if (words == Words::byOption) parent.add_option("PROGRAM", kinds.arguments->program, "The program's id")->required();
  addOrdered(kinds);
  addTracingKinds(kinds);
  addCgroupAndNetworkKinds(kinds);
  if (words == Words::byPlace) addAttachSocket(parent, chosen);
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
