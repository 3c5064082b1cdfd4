// bpfman program set and variables: a program's global variables, while it runs.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct SetArguments {
  uint32_t program = 0;
  std::vector<std::string> typed, bytes;
};

int set(Session& session, const SetArguments& arguments) {
  capnp::MallocMessageBuilder scratch;
  auto params = scratch.initRoot<schema::Program::SetParams>();
  putGlobals(params.initVariables(arguments.bytes.size() + arguments.typed.size()), arguments.bytes, arguments.typed);
  auto request = findProgram(session, arguments.program).setRequest();
  request.setVariables(params.asReader().getVariables());
  session.wait(request.send());
  return 0;
}

int show(Session& session, uint32_t program, const std::string& output) {
  auto answer = session.wait(findProgram(session, program).variablesRequest().send());
  if (output == "json") {
    Json list = Json::array();
    for (auto variable : answer.getVariables()) {
      Json value = Json::parse(variable.getValue().cStr(), nullptr, false);
      list.push_back({{"name", variable.getName().cStr()},
                      {"section", variable.getSection().cStr()},
                      {"type", variable.getType().cStr()},
                      {"size", variable.getSize()},
                      {"value", value.is_discarded() ? Json(nullptr) : value}});
    }
    print(std::cout, {{"variables", list}});
    return 0;
  }
  Table table({"NAME", "SECTION", "TYPE", "BYTES", "VALUE"});
  for (auto variable : answer.getVariables())
    table.row({variable.getName().cStr(), variable.getSection().cStr(), variable.getType().cStr(), std::to_string(variable.getSize()),
               variable.getValue().cStr()});
  table.print(std::cout);
  return 0;
}

}  // namespace

void addProgramSet(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<SetArguments>();
  auto& app = *parent.add_subcommand("set", "Set global variables of a program while it runs: all that are named, or none");
  app.add_option("PROGRAM", arguments->program, "Its id")->required();
  app.add_option("VARIABLES", arguments->typed, "NAME=VALUE ...: values as --set of 'program load' takes them; of .data and .bss only");
  addRepeated(app, "-g,--global", arguments->bytes, "NAME=HEX: a value byte by byte; may be repeated");
  app.callback([arguments, &chosen] {
    if (arguments->typed.empty() && arguments->bytes.empty()) fail(kj::str("program set: name a variable, NAME=VALUE"));
    chosen = [arguments](Session& session) { return set(session, *arguments); };
  });

  struct Shown {
    uint32_t program = 0;
    std::string output = "text";
  };
  auto shown = std::make_shared<Shown>();
  auto& variables = *parent.add_subcommand("variables", "Show the global variables of a program, as they are now");
  variables.add_option("PROGRAM", shown->program, "Its id")->required();
  addOutput(variables, shown->output);
  variables.callback([shown, &chosen] { chosen = [shown](Session& session) { return show(session, shown->program, shown->output); }; });
}

}  // namespace bpfman
