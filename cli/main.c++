// bpfman: the command. Arguments are understood, one call (or a few) is made of the daemon, and its answer is printed. Exit code 0 or
// 1; on failure one line "bpfman: error: …" on stderr. `policy` tells a denial, 1, from an error, 2.
#include "cli/grammar.h"

#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>

namespace bpfman {
namespace {

// Becomes the daemon, which is found beside this binary wherever that was put.
[[noreturn]] void serve(std::vector<std::string> arguments, size_t verb) {
  char self[PATH_MAX] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail(kj::str("serve: /proc/self/exe: ", strerror(errno)));
  std::string daemon = std::string(self, strrchr(self, '/') - self) + "/bpfmand";
  arguments.erase(arguments.begin() + verb);
  std::vector<char*> argv = {daemon.data()};
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(daemon.c_str(), argv.data());
  fail(kj::str("serve: ", daemon.c_str(), ": ", strerror(errno)));
}

int run(std::vector<std::string> arguments) {
  size_t verb = firstWord(arguments);
  if (verb < arguments.size() && arguments[verb] == "serve") serve(arguments, verb);

  CLI::App app("bpfman: loads, attaches and shows eBPF programs through bpfmand", "bpfman");
  Globals globals;
  Command chosen;
  arguments = spellOut(kj::mv(arguments));
  addGrammar(app, globals, chosen, arguments);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::Success& help) { return app.exit(help, std::cout, std::cerr); } catch (const CLI::ExtrasError&) {
    std::string extra;
    for (auto& argument : app.remaining(true)) extra += " " + argument;
    fail(kj::str("unexpected argument:", extra.c_str(), " (see 'bpfman --help')"));
  } catch (const CLI::ParseError& error) { fail(kj::str(error.what(), " (see 'bpfman --help')")); }

  if (!chosen) fail(kj::heapString(incomplete(app).c_str()));

  Session session(globals);
  int code = chosen(session);
  std::cout.flush();
  if (!std::cout) fail(kj::str("standard output cannot be written"));
  return code;
}

}  // namespace
}  // namespace bpfman

int main(int argc, char* argv[]) {
  signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  size_t verb = bpfman::firstWord(arguments);
  int failure = verb < arguments.size() && arguments[verb] == "policy" ? 2 : 1;
  try {
    return bpfman::run(std::move(arguments));
  } catch (const kj::Exception& exception) {
    std::cout.flush();
    std::cerr << "bpfman: error: " << bpfman::whatWentWrong(exception).cStr() << "\n";
  } catch (const std::exception& exception) { std::cerr << "bpfman: error: " << exception.what() << "\n"; }
  return failure;
}
