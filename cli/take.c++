// bpfman program take: a program that was loaded by other means is opened here, with the rights of whoever calls, and handed over.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"
#include "schema/program-types.h"

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct TakeArguments {
  std::string pin, type, name, attachTo, application, output = "text";
  std::vector<std::string> metadata;
  uint32_t id = 0;
};

// The only one of ours that is of the program's type in the kernel.
schema::ProgramType typeOf(int program) {
  uint32_t kernelType = kernelTypeOf(program);
  kj::Vector<kj::StringPtr> names;
  schema::ProgramType type{};
  for (auto& row : programTypes())
    if (row.kernelType == kernelType) names.add(row.name), type = row.type;
  if (names.size() == 0) fail(kj::str("bpfman attaches no programs of the kernel's type ", kernelType));
  if (names.size() > 1) fail(kj::str("the kernel does not tell which of these it is, say it with --type: ", kj::strArray(names, ", ")));
  return type;
}

int take(Session& session, const TakeArguments& arguments) {
  auto program = arguments.pin.empty() ? programById(arguments.id) : pinnedProgram(arguments.pin.c_str());
  auto request = session.connection().programs().takeRequest();
  auto options = request.initOptions();
  options.setType(arguments.type.empty() ? typeOf(program) : parseType(arguments.type));
  options.setName(arguments.name.c_str());
  options.setAttachTo(arguments.attachTo.c_str());
  put(options.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata");
  options.setApplication(arguments.application.c_str());
  options.setSourcePath(arguments.pin.empty() ? kj::str("program ", arguments.id) : kj::heapString(arguments.pin.c_str()));
  request.setProgram(carry(kj::mv(program)));
  auto answer = session.wait(request.send());
  if (arguments.output == "json")
    print(std::cout, jsonOf(answer.getDetails()));
  else
    printProgram(std::cout, answer.getDetails());
  return 0;
}

}  // namespace

void addProgramTake(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<TakeArguments>();
  auto& app =
      *parent.add_subcommand("take", "Take over a program that was loaded by other means: from then on it is attached as one of bpfman's");
  auto pin = app.add_option("--pinned", arguments->pin, "Its pin in a bpffs");
  app.add_option("--id", arguments->id, "Its id in the kernel (opening it needs CAP_SYS_ADMIN)")->excludes(pin);
  app.add_option("--type", arguments->type, "Its type, where the kernel's can be several of bpfman's: tc, tcx, kprobe, fentry, ...");
  app.add_option("--name", arguments->name, "The function's name (default: the kernel's, of at most 15 characters)");
  app.add_option("--attach-to", arguments->attachTo,
                 "The function or hook that it was loaded for: of fentry, fexit, fmod_ret, lsm, tp_btf, iter");
  addRepeated(app, "-m,--metadata", arguments->metadata, "KEY=VALUE; may be repeated");
  app.add_option("-a,--application", arguments->application, "The application that it belongs to");
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] {
    if (arguments->pin.empty() == (arguments->id == 0)) fail(kj::str("program take: either --pinned or --id says which program"));
    chosen = [arguments](Session& session) { return take(session, *arguments); };
  });
}

}  // namespace bpfman
