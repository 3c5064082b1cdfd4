// bpfman program run: a syscall program, once, with a context and what it made of it.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/values.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include <kj/encoding.h>

namespace bpfman {
namespace {

struct RunArguments {
  uint32_t program = 0;
  std::string context, file, output = "text";
};

std::vector<kj::byte> contextOf(const RunArguments& arguments) {
  if (!arguments.context.empty()) return parseBytes(arguments.context, "--context");
  if (arguments.file.empty()) return {};
  std::ifstream file(arguments.file == "-" ? "/dev/stdin" : arguments.file, std::ios::binary);
  std::vector<kj::byte> bytes{std::istreambuf_iterator<char>(file), {}};
  if (file.bad() || !file.is_open()) fail(kj::str(arguments.file.c_str(), " can't be read"));
  return bytes;
}

int run(Session& session, const RunArguments& arguments) {
  auto context = contextOf(arguments);
  auto request = findProgram(session, arguments.program).runRequest();
  request.setContext(kj::arrayPtr(context.data(), context.size()));
  auto answer = session.wait(request.send());
  auto after = kj::encodeHex(answer.getContext());
  if (arguments.output == "json") {
    print(std::cout, {{"result", answer.getResult()}, {"context", after.cStr()}});
  } else {
    std::cout << "Returned " << static_cast<int32_t>(answer.getResult()) << "\n";
    if (after.size() > 0) std::cout << "Context " << after.cStr() << "\n";
  }
  return 0;
}

}  // namespace

void addProgramRun(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<RunArguments>();
  auto& app = *parent.add_subcommand("run", "Run a syscall program once, without privilege");
  app.add_option("PROGRAM", arguments->program, "Its id")->required();
  auto context = app.add_option("--context", arguments->context, "HEX: the bytes that it gets, and may change");
  app.add_option("--context-file", arguments->file, "FILE: likewise, raw; - is standard input")->excludes(context);
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return run(session, *arguments); }; });
}

}  // namespace bpfman
