// bpfman audit: who changed what, and who was denied what.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"

#include <pwd.h>

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct AuditArguments {
  std::string user, action, since, output = "text";
  uint32_t program = 0, link = 0, limit = 100;
  bool failed = false;
};

uint32_t uidOf(const std::string& user) {
  if (passwd* found = getpwnam(user.c_str())) return found->pw_uid;
  size_t end = 0;
  unsigned long uid = 0;
  try {
    uid = std::stoul(user, &end);
  } catch (const std::exception&) {}
  if (user.empty() || end != user.size() || uid > UINT32_MAX) fail(kj::str("there is no user \"", user.c_str(), "\""));
  return uid;
}

std::string idsIn(const Json& line, const char* key) {
  std::string text;
  if (line.contains(key))
    for (auto& id : line[key]) text += (text.empty() ? "" : ",") + id.dump();
  return text;
}

int audit(Session& session, const AuditArguments& arguments) {
  auto request = session.connection().audit().readRequest();
  auto filter = request.initFilter();
  filter.setLimit(arguments.limit);
  if (!arguments.user.empty()) filter.getUser().setUid(uidOf(arguments.user));
  filter.setProgramId(arguments.program);
  filter.setLinkId(arguments.link);
  filter.setAction(arguments.action.c_str());
  filter.setSince(arguments.since.c_str());
  filter.setFailedOnly(arguments.failed);
  auto answer = session.wait(request.send());
  if (arguments.output == "json") {
    for (auto line : answer.getLines()) std::cout << line.cStr() << "\n";
    return 0;
  }
  Table table({"TIME", "UID", "SOCKET", "ACTION", "PROGRAMS", "LINKS", "WHAT", "RESULT"});
  for (auto text : answer.getLines()) {
    auto line = Json::parse(text.begin(), text.end());
    table.row({line.value("time", "").substr(0, 19), line.value("uid", Json()).dump(), line.value("socket", ""), line.value("action", ""),
               idsIn(line, "programs"), idsIn(line, "links"), line.value("what", ""), line.value("result", "")});
  }
  table.print(std::cout);
  return 0;
}

}  // namespace

void addAudit(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<AuditArguments>();
  auto& app = *parent.add_subcommand("audit", "Who changed what, and who was denied what (for administrators)");
  app.add_option("--user", arguments->user, "Only what this user did (name or uid)");
  app.add_option("--action", arguments->action, "Only load, unload, attach, detach, update, \"hand over\" or denied");
  app.add_option("--program-id", arguments->program, "Only what concerns this program");
  app.add_option("--link-id", arguments->link, "Only what concerns this link");
  app.add_option("--since", arguments->since, "From this time on (UTC): 2026-11-23, 2026-11-23T10:30, ...");
  app.add_flag("--failed", arguments->failed, "Only what failed or was denied");
  app.add_option("--limit", arguments->limit, "The newest so many lines (default 100)")->check(CLI::Range(1, 1000));
  app.add_option("-o,--output", arguments->output, "Format: text (default), or json: one object a line")
      ->check(CLI::IsMember({"text", "json"}));
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return audit(session, *arguments); }; });
}

}  // namespace bpfman
