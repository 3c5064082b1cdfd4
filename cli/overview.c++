// bpfman overview: what runs where on the whole machine, whoever attached it.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"

#include <iostream>
#include <map>
#include <memory>
#include <set>

namespace bpfman {
namespace {

using Names = std::map<uint32_t, std::string>;
using Answer = capnp::Response<schema::Overview::AttachmentsResults>;

void printText(const Answer& answer, Names& names) {
  std::set<uint64_t> namespaces;
  for (auto attachment : answer.getAttachments()) namespaces.insert(attachment.getNsid());
  namespaces.erase(0);
  Table table({"HOOK", "TARGET", "NSID", "POS", "PROGRAM ID", "FUNCTION NAME", "KERNEL LINK ID", "MANAGED", "HOW"});
  for (auto attachment : answer.getAttachments()) {
    bool shown = namespaces.size() > 1 && attachment.getNsid() != 0;  // a column is of use only where there are several
    table.row({attachment.getHook().cStr(), attachment.getTarget().cStr(), shown ? std::to_string(attachment.getNsid()) : "",
               attachment.getPosition() < 0 ? "-" : std::to_string(attachment.getPosition()), std::to_string(attachment.getProgramId()),
               names[attachment.getProgramId()], attachment.getLinkId() ? std::to_string(attachment.getLinkId()) : "<none>",
               attachment.getManaged() ? "yes" : "no", attachment.getHow().cStr()});
  }
  table.elideIfEmpty(2);
  table.print(std::cout);
  for (auto note : answer.getNotes()) std::cout << "note: " << note.cStr() << "\n";
}

void printJson(const Answer& answer, Names& names) {
  Json attachments = Json::array(), notes = Json::array();
  for (auto attachment : answer.getAttachments()) attachments.push_back(jsonOf(attachment, names[attachment.getProgramId()]));
  for (auto note : answer.getNotes()) notes.push_back(note.cStr());
  print(std::cout, {{"attachments", attachments}, {"notes", notes}});
}

int overview(Session& session, const std::string& output) {
  auto power = session.connection().overview();
  auto asked = power.attachmentsRequest().send();
  auto programs = session.wait(power.programsRequest().send());
  auto answer = session.wait(kj::mv(asked));
  Names names;
  for (auto program : programs.getPrograms()) names[program.getId()] = program.getName().cStr();
  output == "json" ? printJson(answer, names) : printText(answer, names);
  return 0;
}

int host(Session& session, const std::string& output) {
  auto answer = session.wait(session.connection().overview().hooksRequest().send());
  Json hooks = Json::array();
  Table table({"TYPE", "CLASS", "HERE", "DETAILS"});
  for (auto hook : answer.getHooks()) {
    bool here = hook.getMissing().size() == 0;
    auto details = here ? kj::strArray(hook.getKinds(), ", ") : kj::str(hook.getMissing());
    table.row({nameOf(hook.getType()), hook.getProgramClass().cStr(), here ? "yes" : "no", details.cStr()});
    Json kinds = Json::array();
    for (auto kind : hook.getKinds()) kinds.push_back(kind.cStr());
    hooks.push_back({{"type", nameOf(hook.getType())},
                     {"class", hook.getProgramClass().cStr()},
                     {"supported", here},
                     {"reason", here ? Json(nullptr) : Json(hook.getMissing().cStr())},
                     {"kinds", kinds}});
  }
  if (output == "json")
    print(std::cout, {{"hooks", hooks}});
  else
    table.print(std::cout);
  return 0;
}

int memory(Session& session, const std::string& output) {
  auto answer = session.wait(session.connection().overview().memoryRequest().send());
  Json users = Json::array();
  Table table({"USER", "PROGRAMS", "MAPS", "BYTES"});
  for (auto user : answer.getUsers()) {
    table.row({std::to_string(user.getUid()), std::to_string(user.getPrograms()), std::to_string(user.getMaps()),
               std::to_string(user.getBytes())});
    users.push_back({{"uid", user.getUid()}, {"programs", user.getPrograms()}, {"maps", user.getMaps()}, {"bytes", user.getBytes()}});
  }
  if (output == "json")
    print(std::cout, {{"users", users}});
  else
    table.print(std::cout);
  return 0;
}

using Show = int (*)(Session& session, const std::string& output);

void addShow(CLI::App& parent, const char* name, const char* description, Show show, Command& chosen) {
  auto output = std::make_shared<std::string>("text");
  auto& app = *parent.add_subcommand(name, description);
  addOutput(app, *output);
  app.callback([output, show, &chosen] { chosen = [output, show](Session& session) { return show(session, *output); }; });
}

}  // namespace

void addOverview(CLI::App& parent, Command& chosen) {
  addShow(parent, "overview", "What runs where on the whole machine, whoever attached it", overview, chosen);
  addShow(parent, "memory", "The kernel's memory of what each user has loaded by bpfman", memory, chosen);
  addShow(parent, "host", "Which types of programs this host can load and attach, and why not the others", host, chosen);
}

}  // namespace bpfman
