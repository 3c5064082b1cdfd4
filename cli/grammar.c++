#include "cli/grammar.h"
#include "cli/commands.h"

#include <algorithm>
#include <set>

namespace bpfman {
namespace {

void addGlobals(CLI::App& app, Globals& globals) {
  app.add_option("--runtime-dir", globals.runtimeDir, "Where the daemon's socket is")->envname("BPFMAN_RUNTIME_DIR")->capture_default_str();
  const char* accepted = "Accepted: the daemon's own configuration decides";
  app.add_option("--config", globals.config, accepted)->envname("BPFMAN_CONFIG");
  app.add_option("--log", globals.log, accepted)->envname("BPFMAN_LOG");
  app.add_option("--lock-timeout", globals.lockTimeout, "How long the daemon may take to answer at all")
      ->capture_default_str()
      ->envname("BPFMAN_LOCK_TIMEOUT");
  app.add_option("--image-cache-dir", globals.imageCacheDir, accepted);
}

bool isGlobal(const std::string& option) {
  static const std::set<std::string> names = {"--runtime-dir", "--config", "--log", "--lock-timeout", "--image-cache-dir"};
  return names.count(option) > 0;
}

CLI::App& group(CLI::App& parent, const char* name, const char* description) { return *parent.add_subcommand(name, description); }

// What the arguments may be about. All the rest of the grammar is only named: to spell it out would be most of a command's own work.
class Wanted {
 public:
  explicit Wanted(const std::vector<std::string>& arguments) : words(arguments.begin(), arguments.end()) {
    size_t first = firstWord(arguments);
    if (first < arguments.size() && !arguments[first].starts_with("-")) noun = arguments[first];
  }
  bool group(const std::string& name) const { return noun == name || noun.empty(); }
  bool word(const std::string& name) const { return words.count(name) > 0; }

 private:
  std::set<std::string> words;
  std::string noun;
};

void addProgram(CLI::App& program, Command& chosen) {
  addProgramLoad(group(program, "load", "Load programs"), Words::byPlace, chosen);
  addProgramList(program, "list", chosen);
  addProgramGet(program, "get", chosen);
  addProgramUnload(program, chosen);
  addProgramUpdate(program, chosen);
  addProgramSet(program, chosen);
  addProgramTake(program, chosen);
  addProgramRun(program, chosen);
  addProgramDelete(program, chosen);
}

void addLink(CLI::App& link, const Wanted& wanted, Command& chosen) {
  auto& attach = group(link, "attach", "Attach a program");
  if (wanted.word("attach")) addAttachKinds(attach, Words::byPlace, chosen);
  addLinkList(link, "list", chosen);
  addLinkGet(link, "get", chosen);
  addLinkRead(link, chosen);
  addLinkDetach(link, "detach", chosen);
  addLinkDetach(link, "delete", chosen);
  addLinkUpdate(link, chosen);
}

// The grammar of bpfman 0.6: verbs first. Not shown in the help; hidden last, because what is added to a hidden group is hidden too.
void addOlder(CLI::App& app, const Wanted& wanted, Command& chosen) {
  auto& load = group(app, "load", "Load programs");
  if (wanted.group("load")) addProgramLoad(load, Words::byOption, chosen);
  auto& attach = group(app, "attach", "Attach a program");
  if (wanted.group("attach")) addAttachKinds(attach, Words::byOption, chosen);
  addProgramUnload(app, chosen);
  addLinkDetach(app, "detach", chosen);
  auto& list = group(app, "list", "List programs or links");
  if (wanted.group("list")) addProgramList(list, "programs", chosen), addLinkList(list, "links", chosen);
  auto& get = group(app, "get", "Show a program or a link");
  if (wanted.group("get")) addProgramGet(get, "program", chosen), addLinkGet(get, "link", chosen);
  for (auto name : {"load", "attach", "unload", "detach", "list", "get"}) app.get_subcommand(name)->group("");
}

void setFallthrough(CLI::App& app) {
  for (auto sub : app.get_subcommands({})) {
    if (!sub->get_allow_extras()) sub->fallthrough();  // global options may stand anywhere
    setFallthrough(*sub);
  }
}

bool isHelp(const std::string& argument) { return argument == "-h" || argument == "--help"; }

}  // namespace

size_t firstWord(const std::vector<std::string>& arguments, size_t from) {
  while (from < arguments.size() && arguments[from].starts_with("--") && isGlobal(arguments[from].substr(0, arguments[from].find('=')))) {
    from += arguments[from].find('=') == std::string::npos ? 2 : 1;
  }
  return std::min(from, arguments.size());
}

std::vector<std::string> spellOut(std::vector<std::string> arguments) {
  size_t noun = firstWord(arguments);
  if (noun < arguments.size() && arguments[noun] == "help") {
    arguments.erase(arguments.begin() + noun);
    arguments.push_back("--help");
    return arguments;
  }
  static const std::set<std::string> listed = {"program", "link", "dispatcher"};
  if (noun >= arguments.size()) return arguments;
  bool older = arguments[noun] == "load";
  if (!listed.count(arguments[noun]) && !older) return arguments;

  size_t verb = older ? noun : firstWord(arguments, noun + 1);
  bool left = verb >= arguments.size() || (arguments[verb].starts_with("-") && !isHelp(arguments[verb]));
  if (!older && left) {
    arguments.insert(arguments.begin() + noun + 1, "list");
    return arguments;
  }
  size_t source = verb + 1;
  bool loads = older || (arguments[noun] == "program" && arguments[verb] == "load");
  if (loads && source < arguments.size() && arguments[source] != "file" && arguments[source] != "image" && !isHelp(arguments[source])) {
    arguments.insert(arguments.begin() + source, "file");
  }
  return arguments;
}

std::string incomplete(const CLI::App& app) {
  auto deeper = app.get_subcommands();
  if (!deeper.empty()) return incomplete(*deeper[0]);
  std::string path = app.get_name(), words;
  for (auto parent = app.get_parent(); parent; parent = parent->get_parent()) path = parent->get_name() + " " + path;
  for (auto sub : app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); })) {
    words += (words.empty() ? "" : ", ") + sub->get_name();
  }
  return "'" + path + "' needs a command: " + words;
}

void addGrammar(CLI::App& app, Globals& globals, Command& chosen, const std::vector<std::string>& arguments) {
  Wanted wanted(arguments);
  auto named = [&](const char* name, const char* description, auto&& fill) {
    auto& one = group(app, name, description);
    if (wanted.group(name)) fill(one);
  };
  addGlobals(app, globals);
  named("program", "Load, list, show, unload programs", [&](CLI::App& program) { addProgram(program, chosen); });
  named("link", "Attach programs; list, show, detach links", [&](CLI::App& link) { addLink(link, wanted, chosen); });
  named("dispatcher", "List, show and plan the chains by which programs share an interface",
        [&](CLI::App& dispatcher) { addDispatcher(dispatcher, chosen); });
  named("change", "Change several links at once; list changes that wait to be confirmed",
        [&](CLI::App& change) { addChange(change, chosen); });
  named("token", "BPF tokens: delegate types of programs and maps to a container", [&](CLI::App& token) { addToken(token, chosen); });
  addConfirm(app, chosen);
  addOverview(app, chosen);
  addAudit(app, chosen);
  addPolicy(app, chosen);
  addVersion(app, chosen);
  app.add_subcommand("serve", "Run the daemon: bpfmand, from beside this binary, with the remaining arguments");
  addUnsupported(app, "image", "programs are loaded from object files", chosen);
  addOlder(app, wanted, chosen);
  setFallthrough(app);
}

}  // namespace bpfman
