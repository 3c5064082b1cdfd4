// bpfman link update, pause, resume; change apply, list; confirm, revert: what changes members of a chain, several at once, all or nothing.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"

#include <fstream>
#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct UpdateArguments {
  std::vector<uint32_t> links;
  int32_t priority = -1;
  std::vector<std::string> proceedOn;
  schema::ChangeStep::Running running = schema::ChangeStep::Running::AS_IT_IS;
  ChangeOptions change;
};

FillStep stepOf(uint32_t link, const UpdateArguments& arguments, schema::ProgramType type) {
  std::vector<int32_t> verdicts;
  for (auto& word : splitAll(arguments.proceedOn)) verdicts.push_back(parseVerdict(type, word));
  return [link, verdicts, priority = arguments.priority, running = arguments.running](schema::ChangeStep::Builder step) {
    auto modify = step.initModify();
    modify.setLink(link);
    modify.setPriority(priority);
    modify.setRunning(running);
    auto list = modify.initProceedOn(verdicts.size());
    for (size_t i = 0; i < verdicts.size(); i++) list.set(i, verdicts[i]);
  };
}

// The words of verdicts are those of the link's type, which only the daemon knows.
schema::ProgramType kindOf(Session& session, uint32_t link) {
  auto request = session.connection().links().getRequest();
  request.setId(link);
  return session.wait(request.send()).getDetails().getRecord().getKind();
}

std::vector<FillStep> stepsOf(Session& session, const UpdateArguments& arguments) {
  std::vector<FillStep> steps;
  for (uint32_t link : arguments.links) {
    auto type = arguments.proceedOn.empty() ? schema::ProgramType::XDP : kindOf(session, link);
    steps.push_back(stepOf(link, arguments, type));
  }
  return steps;
}

using Use = std::function<int(Session& session, const UpdateArguments& arguments)>;

// update, pause, resume. What is done with the arguments is `use`.
void addUpdates(CLI::App& parent, bool confirmable, const Use& use, Command& chosen) {
  auto add = [&](const char* name, const char* description, schema::ChangeStep::Running running) -> UpdateArguments& {
    auto arguments = std::make_shared<UpdateArguments>();
    arguments->running = running;
    auto& app = *parent.add_subcommand(name, description);
    app.add_option("LINK", arguments->links, "Their ids")->required();
    if (confirmable) {
      addConfirmWithin(app, arguments->change.confirmWithin);
      addOutput(app, arguments->change.output);
    }
    app.callback([arguments, use, &chosen] { chosen = [arguments, use](Session& session) { return use(session, *arguments); }; });
    return *arguments;
  };
  auto& update = add("update", "Change a member's place in its chain, or after which verdicts the next one runs",
                     schema::ChangeStep::Running::AS_IT_IS);
  auto& app = *parent.get_subcommand("update");
  app.add_option("-p,--priority", update.priority, "Lower runs first, from 0")->check(CLI::Range(0, INT32_MAX));
  addRepeated(app, "--proceed-on", update.proceedOn, "VERDICT[,...] after which the next program runs");
  add("pause", "No packet sees a member until it is resumed; it stays attached", schema::ChangeStep::Running::PAUSED);
  add("resume", "It runs again, in its place", schema::ChangeStep::Running::RESUMED);
}

// A line of a change's file: the words of a link command, without 'bpfman'. '#' begins a comment.
void parseLine(const std::string& line, const std::string& where, Session& session, std::vector<FillStep>& steps) {
  CLI::App app("", "");
  Command chosen;
  app.require_subcommand(1);
  auto& link = *app.add_subcommand("link");
  link.require_subcommand(1);
  auto& attach = *link.add_subcommand("attach");
  attach.require_subcommand(1);
  addAttachSteps(attach, steps, chosen);
  addUpdates(
      link, false,
      [&steps](Session& session, const UpdateArguments& arguments) {
        for (auto& step : stepsOf(session, arguments)) steps.push_back(step);
        return 0;
      },
      chosen);
  auto links = std::make_shared<std::vector<uint32_t>>();
  auto& detach = *link.add_subcommand("detach");
  detach.add_option("LINK", *links)->required();
  detach.callback([links, &steps, &chosen] {
    chosen = [links, &steps](Session&) {
      for (auto& step : detachSteps(*links)) steps.push_back(step);
      return 0;
    };
  });
  try {
    app.parse(line);
  } catch (const CLI::Error& error) {
    fail(kj::str(where.c_str(), ": ", error.what(), "; expected link attach xdp|tc, detach, update, pause or resume with their arguments"));
  }
  chosen(session);
}

std::vector<FillStep> stepsFrom(Session& session, const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path);
  if (path != "-" && !file) fail(kj::str("cannot read ", path.c_str(), ": ", strerror(errno)));
  std::istream& in = path == "-" ? std::cin : file;
  std::vector<FillStep> steps;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    parseLine(line, path + ":" + std::to_string(number), session, steps);
  }
  if (steps.empty()) fail(kj::str(path.c_str(), ": no steps; each line is a command such as 'link update 8 --priority 5'"));
  return steps;
}

Json jsonOf(schema::WaitingChange::Reader change) {
  Json links = Json::array();
  for (uint32_t link : change.getLinks()) links.push_back(link);
  Json json = {
      {"id", change.getId()},
      {"until", timeText(change.getUntil())},
      {"kept_by", change.getInKernel() ? "kernel" : "daemon"},
      {"uid", change.getUid()},
      {"links", links},
  };
  if (change.getReplacement()) json["replaced"] = change.getReplaced(), json["replacement"] = change.getReplacement();
  return json;
}

capnp::Response<schema::Links::WaitingResults> waiting(Session& session) {
  return session.wait(session.connection().links().waitingRequest().send());
}

int end(Session& session, uint32_t id, bool confirm) {
  if (id == 0) {
    auto answer = waiting(session);
    auto changes = answer.getChanges();
    if (changes.size() != 1) fail(kj::str(changes.size(), " changes wait to be confirmed: name one; 'bpfman change list' shows them"));
    id = changes[0].getId();
  }
  if (confirm) {
    auto request = session.connection().links().confirmRequest();
    request.setId(id);
    session.wait(request.send());
  } else {
    auto request = session.connection().links().revertRequest();
    request.setId(id);
    session.wait(request.send());
  }
  return 0;
}

int64_t secondsLeft(int64_t until) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return std::max<int64_t>(0, until / 1'000'000'000 - now.tv_sec);
}

}  // namespace

uint32_t secondsFrom(const std::string& confirmWithin) {
  if (confirmWithin.empty()) return 0;
  auto seconds = parseDuration(confirmWithin) / kj::SECONDS;
  if (seconds < 1 || seconds > 86'400) fail(kj::str("--confirm-within ", confirmWithin.c_str(), ": expected 1s to 24h"));
  return seconds;
}

void addConfirmWithin(CLI::App& app, std::string& confirmWithin) {
  app.add_option("--confirm-within", confirmWithin, "DURATION, such as 60s: taken back after it, unless 'bpfman confirm' comes");
}

void printWaiting(std::ostream& out, capnp::List<schema::WaitingChange>::Reader changes) {
  for (auto change : changes)
    out << "Change " << change.getId() << " waits to be confirmed: without 'bpfman confirm " << change.getId() << "' it is taken back in "
        << secondsLeft(change.getUntil())
        << (change.getInKernel() ? " s, by the kernel, whatever becomes of the daemon\n"
                                 : " s, by the daemon, or when that starts again\n");
}

int carryOut(Session& session, const std::vector<FillStep>& steps, const ChangeOptions& options) {
  uint32_t seconds = secondsFrom(options.confirmWithin);
  capnp::MallocMessageBuilder scratch;
  auto list = scratch.initRoot<schema::Links::ChangeParams>().initSteps(steps.size());
  for (size_t i = 0; i < steps.size(); i++) steps[i](list[i]);
  auto request = session.connection().links().changeRequest();
  request.setSteps(list);
  request.setConfirmWithin(seconds);
  auto answer = session.wait(request.send());
  if (options.output == "json") {
    print(std::cout, {{"links", jsonArray(answer.getLinks())},
                      {"waiting", answer.getWaiting().size() ? jsonOf(answer.getWaiting()[0]) : Json(nullptr)}});
    return 0;
  }
  if (answer.getLinks().size()) printLinks(std::cout, answer.getLinks());
  printWaiting(std::cout, answer.getWaiting());
  return 0;
}

void addLinkUpdate(CLI::App& parent, Command& chosen) {
  addUpdates(
      parent, true,
      [](Session& session, const UpdateArguments& arguments) { return carryOut(session, stepsOf(session, arguments), arguments.change); },
      chosen);
}

void addChange(CLI::App& parent, Command& chosen) {
  struct Arguments {
    std::string file;
    ChangeOptions change;
  };
  auto arguments = std::make_shared<Arguments>();
  auto& apply = *parent.add_subcommand("apply", "Carry out the steps of a file, all or none, each chain in one atomic change");
  apply
      .add_option("FILE", arguments->file,
                  "A line for each: link attach xdp|tc, detach, update, pause or resume with arguments; -: standard input")
      ->required();
  addConfirmWithin(apply, arguments->change.confirmWithin);
  addOutput(apply, arguments->change.output);
  apply.callback([arguments, &chosen] {
    chosen = [arguments](Session& session) { return carryOut(session, stepsFrom(session, arguments->file), arguments->change); };
  });

  auto output = std::make_shared<std::string>("text");
  auto& list = *parent.add_subcommand("list", "List changes that wait to be confirmed");
  addOutput(list, *output);
  list.callback([output, &chosen] {
    chosen = [output](Session& session) {
      auto answer = waiting(session);
      Json changes = Json::array();
      for (auto change : answer.getChanges()) changes.push_back(jsonOf(change));
      *output == "json" ? print(std::cout, {{"changes", changes}}) : printWaiting(std::cout, answer.getChanges());
      return 0;
    };
  });
}

void addConfirm(CLI::App& parent, Command& chosen) {
  for (bool confirm : {true, false}) {
    auto id = std::make_shared<uint32_t>(0);
    auto& app =
        *parent.add_subcommand(confirm ? "confirm" : "revert", confirm ? "Keep a change that waits to be confirmed" : "Take it back now");
    app.add_option("CHANGE", *id, "Its id (default: the one that waits)");
    app.callback([id, confirm, &chosen] { chosen = [id, confirm](Session& session) { return end(session, *id, confirm); }; });
  }
}

}  // namespace bpfman
