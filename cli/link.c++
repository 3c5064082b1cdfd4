// bpfman link list, get, detach (and delete, which is the same: a link has nothing that depends on it).
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/names.h"
#include "cli/text.h"
#include "cli/values.h"

#include <kj/debug.h>
#include <unistd.h>

#include <iostream>
#include <memory>

namespace bpfman {
namespace {

struct ListArguments {
  std::vector<std::string> kinds, metadata;
  std::string application, output = "text";
  uint32_t program = 0;
  bool quiet = false;
};

int list(Session& session, const ListArguments& arguments) {
  auto kinds = typeFilter(splitAll(arguments.kinds), false);
  auto request = session.connection().links().listRequest();
  auto filter = request.initFilter();
  filter.setProgramId(arguments.program);
  put(filter.initKinds(kinds.size()), kinds);
  filter.setApplication(arguments.application.c_str());
  put(filter.initMetadata(arguments.metadata.size()), arguments.metadata, "--metadata-selector");
  auto answer = session.wait(request.send());
  if (arguments.quiet) {
    for (auto record : answer.getLinks()) std::cout << record.getId() << "\n";
  } else if (arguments.output == "json") {
    print(std::cout, {{"links", jsonArray(answer.getLinks())}});
  } else {
    printLinks(std::cout, answer.getLinks());
  }
  return 0;
}

capnp::Response<schema::Links::GetResults> find(Session& session, uint32_t id) {
  auto request = session.connection().links().getRequest();
  request.setId(id);
  return session.wait(request.send());
}

void detach(Session& session, uint32_t id) {
  try {
    session.wait(find(session, id).getLink().detachRequest().send());
  } catch (const kj::Exception& exception) {
    if (saysAbsent(exception)) fail(kj::str("link ", id, " does not exist"));
    throw;
  }
}

}  // namespace

// What an iterator says, as it comes.
void addLinkRead(CLI::App& parent, Command& chosen) {
  auto id = std::make_shared<uint32_t>();
  auto& app = *parent.add_subcommand("read", "Run an iterator over all that there is, and show what it says");
  app.add_option("LINK", *id, "The iterator's link")->required();
  app.callback([id, &chosen] {
    chosen = [id](Session& session) {
      auto answer = session.wait(find(session, *id).getLink().iterateRequest().send());
      auto iterator = session.wait(received(answer.getDescriptor()));
      char buffer[64 << 10];
      for (;;) {
        ssize_t got;
        KJ_SYSCALL(got = read(iterator, buffer, sizeof buffer), "read the iterator");
        if (got == 0) return 0;
        std::cout.write(buffer, got);
      }
    };
  });
}

std::vector<FillStep> detachSteps(const std::vector<uint32_t>& ids) {
  std::vector<FillStep> steps;
  for (uint32_t id : ids) steps.push_back([id](schema::ChangeStep::Builder step) { step.setDetach(id); });
  return steps;
}

void addLinkList(CLI::App& parent, const char* name, Command& chosen) {
  auto arguments = std::make_shared<ListArguments>();
  auto& app = *parent.add_subcommand(name, "List links");
  app.add_flag("-q,--quiet", arguments->quiet, "Ids only");
  app.add_option("--program-id", arguments->program, "Only links of this program");
  addRepeated(app, "-p,--kind,--program-type", arguments->kinds, "KIND[,...]: only these");
  app.add_option("--application", arguments->application, "Only links of this application's programs");
  addRepeated(app, "-m,--metadata-selector", arguments->metadata, "KEY=VALUE: only links of programs with this metadata; may be repeated");
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return list(session, *arguments); }; });
}

void addLinkGet(CLI::App& parent, const char* name, Command& chosen) {
  struct Arguments {
    uint32_t id;
    std::string output = "text";
  };
  auto arguments = std::make_shared<Arguments>();
  auto& app = *parent.add_subcommand(name, "Show a link");
  app.add_option("LINK", arguments->id, "Its id")->required();
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] {
    chosen = [arguments](Session& session) {
      auto answer = find(session, arguments->id);
      if (arguments->output == "json") {
        print(std::cout, jsonOf(answer.getDetails()));
      } else {
        printLink(std::cout, answer.getDetails());
      }
      return 0;
    };
  });
}

void addLinkDetach(CLI::App& parent, const char* name, Command& chosen) {
  struct Arguments {
    std::vector<uint32_t> ids;
    bool ignoreMissing = false, recursive = false;
    ChangeOptions change;
  };
  auto arguments = std::make_shared<Arguments>();
  auto& app = *parent.add_subcommand(name, "Detach links");
  bool hidden = std::string(name) == "delete";
  if (hidden) app.group("");
  app.add_option("LINK", arguments->ids, "Their ids")->required();
  app.add_flag("--ignore-missing", arguments->ignoreMissing, "A link that does not exist is no failure");
  if (hidden) app.add_flag("-r,--recursive", arguments->recursive, "Accepted: nothing depends on a link");
  addConfirmWithin(app, arguments->change.confirmWithin);
  app.callback([arguments, verb = std::string(name), &chosen] {
    chosen = [arguments, verb](Session& session) {
      if (!arguments->change.confirmWithin.empty()) return carryOut(session, detachSteps(arguments->ids), arguments->change);
      return forEach(arguments->ids, "link", verb.c_str(), arguments->ignoreMissing, [&](uint32_t id) { detach(session, id); });
    };
  });
}

}  // namespace bpfman
