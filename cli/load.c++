// bpfman program load and update: an object file is read here, with the rights of whoever calls, and travels as a sealed memfd.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct LoadArguments {
  std::string path, application, engine, output = "text";
  std::vector<std::string> programs, globals, metadata;
  uint32_t mapOwner = 0;
  bool persistent = false;
};

void putGlobals(capnp::List<schema::Global>::Builder list, const std::vector<std::string>& globals) {
  for (size_t i = 0; i < globals.size(); i++) {
    auto [name, value] = parseGlobal(globals[i]);
    list[i].setName(name.c_str());
    list[i].setValue(kj::arrayPtr(value.data(), value.size()));
  }
}

void fill(schema::LoadOptions::Builder options, const LoadArguments& arguments) {
  auto wanted = parsePrograms(arguments.programs);
  auto programs = options.initPrograms(wanted.size());
  for (size_t i = 0; i < wanted.size(); i++) {
    programs[i].setType(wanted[i].type);
    programs[i].setName(wanted[i].name.c_str());
    programs[i].setAttachTo(wanted[i].attachTo.c_str());
  }
  putGlobals(options.initGlobals(arguments.globals.size()), arguments.globals);
  put(options.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");
  options.setApplication(arguments.application.c_str());
  options.setMapOwner(arguments.mapOwner);
  options.setPersistent(arguments.persistent);
  options.setEngine(arguments.engine.c_str());
}

// The verifier's log is shown whole: one line of reason says nothing to whoever has to mend the program.
[[noreturn]] void failRefused(schema::Refusal::Reader refusal) {
  if (refusal.getVerifierLog().size() == 0) fail(kj::str("failed to load programs: ", refusal.getReason()));
  std::string text = std::string("load program: ") + refusal.getReason().cStr() + ":";
  for (auto& line : split(refusal.getVerifierLog().cStr(), '\n')) text += "\n\t" + line;
  fail(kj::heapString(text.c_str(), text.size()));
}

int load(Session& session, const LoadArguments& arguments) {
  // All that can be wrong with the arguments is found before the daemon is asked.
  capnp::MallocMessageBuilder options;
  fill(options.initRoot<schema::LoadOptions>(), arguments);
  auto memfd = bytecodeFrom(arguments.path.c_str());

  auto request = session.connection().programs().loadRequest();
  auto bytecode = request.initBytecode();
  bytecode.setMemfd(carry(kj::mv(memfd)));
  bytecode.setSourcePath(arguments.path.c_str());
  request.setOptions(options.getRoot<schema::LoadOptions>().asReader());
  auto answer = session.wait(request.send());
  if (answer.isRefused()) failRefused(answer.getRefused());

  Json programs = Json::array();
  bool first = true;
  for (auto loaded : answer.getLoaded()) {
    if (arguments.output == "json") {
      programs.push_back(jsonOf(loaded.getDetails()));
    } else {
      std::cout << (first ? "" : "\n");
      printProgram(std::cout, loaded.getDetails());
    }
    first = false;
  }
  if (arguments.output == "json") print(std::cout, {{"programs", programs}});
  return 0;
}

struct UpdateArguments {
  uint32_t program = 0;
  std::string path, name;
  std::vector<std::string> globals;
  ChangeOptions change;
};

int update(Session& session, const UpdateArguments& arguments) {
  uint32_t seconds = secondsFrom(arguments.change.confirmWithin);
  capnp::MallocMessageBuilder scratch;
  auto options = scratch.initRoot<schema::UpdateOptions>();
  putGlobals(options.initGlobals(arguments.globals.size()), arguments.globals);
  options.setName(arguments.name.c_str());
  options.setConfirmWithin(seconds);
  auto memfd = bytecodeFrom(arguments.path.c_str());

  auto request = findProgram(session, arguments.program).updateRequest();
  request.initBytecode().setMemfd(carry(kj::mv(memfd)));
  request.getBytecode().setSourcePath(arguments.path.c_str());
  request.setOptions(options);
  auto answer = session.wait(request.send());
  if (answer.isRefused()) failRefused(answer.getRefused());
  if (arguments.change.output == "json") {
    print(std::cout, jsonOf(answer.getUpdated().getDetails()));
  } else {
    printProgram(std::cout, answer.getUpdated().getDetails());
    printWaiting(std::cout, answer.getUpdated().getWaiting());
  }
  return 0;
}

}  // namespace

void addProgramUpdate(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<UpdateArguments>();
  auto& app =
      *parent.add_subcommand("update", "Put other bytecode in a program's place: same links, same maps, no packet lost; its id changes");
  app.add_option("PROGRAM", arguments->program, "Its id")->required();
  app.add_option("-f,--file", arguments->path, "The object file (at most 16 MiB)")->required();
  app.add_option("--name", arguments->name, "The function (default: of the same name)");
  addRepeated(app, "-g,--global", arguments->globals, "NAME=HEX: a global variable's value (default: as it was loaded); may be repeated");
  addConfirmWithin(app, arguments->change.confirmWithin);
  addOutput(app, arguments->change.output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return update(session, *arguments); }; });
}

void addProgramLoad(CLI::App& parent, Words words, Command& chosen) {
  auto arguments = std::make_shared<LoadArguments>();
  auto& app = *parent.add_subcommand("file", "Load programs from an object file");
  app.add_option(words == Words::byPlace ? "PATH" : "PATH,-p,--path", arguments->path, "The object file (at most 16 MiB)")->required();
  addRepeated(app, "--programs", arguments->programs, "TYPE:NAME[:ATTACH_FUNC][,...]: what to load; may be repeated")->required();
  addRepeated(app, "-g,--global", arguments->globals, "NAME=HEX: a global variable's value, byte by byte; may be repeated");
  addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE; may be repeated");
  app.add_option("-a,--application", arguments->application, "The application that the programs belong to");
  app.add_option("--map-owner-id", arguments->mapOwner, "Use the maps of this program instead of new ones");
  app.add_flag("--persistent", arguments->persistent, "Load and attach them again after a reboot, and when their interface comes back");
  app.add_option("--engine", arguments->engine,
                 "How its xdp or tc programs share interfaces: auto, libxdp (xdp), freplace (tc) or tailcall (default: auto)")
      ->check(CLI::IsMember({"auto", "libxdp", "freplace", "tailcall"}));
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return load(session, *arguments); }; });
  addUnsupported(parent, "image", "load the object file with 'bpfman program load file'", chosen);
}

}  // namespace bpfman
