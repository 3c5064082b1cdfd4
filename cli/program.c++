// bpfman program list, get, unload, delete.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/selector.h"
#include "cli/text.h"
#include "cli/values.h"

#include <algorithm>
#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct ListArguments {
  std::vector<std::string> types, metadata;
  std::string application, selector, output = "text";
  bool quiet = false, all = false, attached = false, unattached = false;
};

bool isAmong(const std::vector<std::string>& words, schema::ProgramType type) {
  auto names = typeFilter({nameOf(type)}, false);
  return std::any_of(words.begin(), words.end(), [&](auto& word) { return std::find(names.begin(), names.end(), word) != names.end(); });
}

int list(Session& session, const ListArguments& arguments) {
  Selector selector(arguments.selector);
  auto words = splitAll(arguments.types);
  auto types = typeFilter(words, arguments.all);
  auto request = session.connection().programs().listRequest();
  auto filter = request.initFilter();
  filter.setAll(arguments.all);
  put(filter.initTypes(types.size()), types);
  filter.setApplication(arguments.application.c_str());
  put(filter.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata-selector");
  if (arguments.attached) filter.setAttached(schema::ProgramFilter::Attached::ATTACHED);
  if (arguments.unattached) filter.setAttached(schema::ProgramFilter::Attached::UNATTACHED);
  auto answer = session.wait(request.send());

  std::vector<schema::ProgramEntry::Reader> entries;
  for (auto entry : answer.getPrograms()) {
    // "--type uprobe --all" asks for foreign programs by the kernel's word, kprobe: our own kprobes are not meant.
    bool typed = words.empty() || !entry.getManaged() || isAmong(words, entry.getRecord().getType());
    if (typed && selector.matches(entry.getRecord().getMetadata())) entries.push_back(entry);
  }
  if (arguments.quiet) {
    for (auto& entry : entries) std::cout << entry.getId() << "\n";
  } else if (arguments.output == "json") {
    print(std::cout, {{"programs", jsonArray(entries)}});
  } else {
    printPrograms(std::cout, entries);
  }
  return 0;
}

int get(Session& session, uint32_t id, const std::string& output) {
  auto request = session.connection().programs().getRequest();
  request.setId(id);
  auto answer = session.wait(request.send());
  if (output == "json") {
    print(std::cout, jsonOf(answer.getDetails()));
  } else {
    printProgram(std::cout, answer.getDetails());
  }
  return 0;
}

void unload(Session& session, uint32_t id) { session.wait(findProgram(session, id).unloadRequest().send()); }

// Programs that use another's maps go before it, whatever order the ids came in.
std::vector<uint32_t> usersFirst(std::vector<uint32_t> ids, const std::vector<uint32_t>& users) {
  std::stable_partition(ids.begin(), ids.end(), [&](uint32_t id) { return std::find(users.begin(), users.end(), id) != users.end(); });
  return ids;
}

struct Deletion {
  std::vector<uint32_t> ids, users;  // users: which of them have a map owner
  void add(uint32_t id, uint32_t mapOwner) {
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) return;
    ids.push_back(id);
    if (mapOwner) users.push_back(id);
  }
};

Deletion everything(Session& session) {
  Deletion result;
  auto answer = session.wait(session.connection().programs().listRequest().send());
  for (auto entry : answer.getPrograms()) result.add(entry.getId(), entry.getRecord().getMapOwner());
  return result;
}

// `recursive`: the programs that use the maps of one that is named go with it.
Deletion named(Session& session, const std::vector<uint32_t>& ids, bool recursive) {
  Deletion result;
  for (auto id : ids) result.add(id, 0);
  if (!recursive) return result;
  auto answer = session.wait(session.connection().programs().listRequest().send());
  for (auto entry : answer.getPrograms()) {
    auto owner = entry.getRecord().getMapOwner();
    if (owner && std::find(ids.begin(), ids.end(), owner) != ids.end()) {
      result.add(entry.getId(), owner);
      result.users.push_back(entry.getId());
    }
  }
  return result;
}

}  // namespace

schema::Program::Client findProgram(Session& session, uint32_t id) {
  auto request = session.connection().programs().getRequest();
  request.setId(id);
  try {
    return session.wait(request.send()).getProgram();
  } catch (const kj::Exception& exception) {
    if (exception.getDescription().endsWith("record not found")) fail(kj::str("program ", id, " does not exist"));
    throw;
  }
}

void addProgramList(CLI::App& parent, const char* name, Command& chosen) {
  auto arguments = std::make_shared<ListArguments>();
  auto& app = *parent.add_subcommand(name, "List programs");
  app.add_flag("-q,--quiet", arguments->quiet, "Ids only");
  auto attached = app.add_flag("--attached", arguments->attached, "Only programs with links");
  app.add_flag("--unattached", arguments->unattached, "Only programs without links")->excludes(attached);
  addRepeated(app, "-p,--type,--program-type", arguments->types, "TYPE[,...]: only these");
  app.add_option("--application", arguments->application, "Only programs of this application");
  addRepeated(app, "-m,--metadata-selector", arguments->metadata, "KEY=VALUE: only programs with this metadata; may be repeated");
  app.add_option("-l,--selector", arguments->selector, "Label selector over the metadata: k=v,k!=v,k,!k,k in (a,b),k notin (a,b)");
  app.add_flag("-a,--all", arguments->all, "Also programs that bpfman did not load");
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return list(session, *arguments); }; });
}

void addProgramGet(CLI::App& parent, const char* name, Command& chosen) {
  struct Arguments {
    uint32_t id;
    std::string output = "text";
  };
  auto arguments = std::make_shared<Arguments>();
  auto& app = *parent.add_subcommand(name, "Show a program");
  app.add_option("PROGRAM", arguments->id, "Its id")->required();
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return get(session, arguments->id, arguments->output); }; });
}

void addProgramUnload(CLI::App& parent, Command& chosen) {
  struct Arguments {
    std::vector<uint32_t> ids;
    bool ignoreMissing = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto& app = *parent.add_subcommand("unload", "Detach and unload programs");
  app.add_option("PROGRAM", arguments->ids, "Their ids")->required();
  app.add_flag("--ignore-missing", arguments->ignoreMissing, "A program that does not exist is no failure");
  app.callback([arguments, &chosen] {
    chosen = [arguments](Session& session) {
      return forEach(arguments->ids, "program", "unload", arguments->ignoreMissing, [&](uint32_t id) { unload(session, id); });
    };
  });
}

void addProgramDelete(CLI::App& parent, Command& chosen) {
  struct Arguments {
    std::vector<uint32_t> ids;
    bool all = false, recursive = false;
  };
  auto arguments = std::make_shared<Arguments>();
  auto& app = *parent.add_subcommand("delete", "Detach and unload programs, or all that bpfman loaded")->group("");
  auto ids = app.add_option("PROGRAM", arguments->ids, "Their ids");
  app.add_flag("--all", arguments->all, "All that bpfman loaded")->excludes(ids);
  app.add_flag("-r,--recursive", arguments->recursive, "Also the programs that use their maps");
  app.callback([arguments, &chosen] {
    if (arguments->ids.empty() && !arguments->all) fail(kj::str("program delete: name programs by their ids, or all with --all"));
    chosen = [arguments](Session& session) {
      auto deletion = arguments->all ? everything(session) : named(session, arguments->ids, arguments->recursive);
      return forEach(usersFirst(deletion.ids, deletion.users), "program", "delete", false, [&](uint32_t id) { unload(session, id); });
    };
  });
}

}  // namespace bpfman
