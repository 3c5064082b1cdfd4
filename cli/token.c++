// bpfman token: a bpffs that delegates to the container that this command runs in; and what was delegated to whom.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/values.h"
#include "client/descriptor.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <sys/mount.h>

namespace bpfman {
namespace {

struct CreateArguments {
  std::string directory, output = "text";
  std::vector<std::string> commands, maps, programs, attach;
};

std::string joined(capnp::List<capnp::Text>::Reader words) {
  std::string text;
  for (auto word : words) text += (text.empty() ? "" : ",") + std::string(word.cStr());
  return text.empty() ? "None" : text;
}

Json jsonOf(capnp::List<capnp::Text>::Reader words) {
  Json list = Json::array();
  for (auto word : words) list.push_back(word.cStr());
  return list;
}

Json jsonOf(schema::TokenRecord::Reader token) {
  auto delegation = token.getDelegation();
  return {{"id", token.getId()},
          {"uid", token.getUid()},
          {"created_at", timeText(token.getCreatedAt())},
          {"commands", jsonOf(delegation.getCommands())},
          {"map_types", jsonOf(delegation.getMapTypes())},
          {"program_types", jsonOf(delegation.getProgramTypes())},
          {"attach_types", jsonOf(delegation.getAttachTypes())},
          {"pid", token.getProcess()},
          {"user_namespace", token.getUserNamespace()},
          {"cgroup", token.getCgroup()},
          {"withdrawn", token.getWithdrawn()}};
}

void show(capnp::List<schema::TokenRecord>::Reader tokens, const std::string& output) {
  Table table({"ID", "USER", "PROGRAMS", "ATTACH", "MAPS", "COMMANDS", "USER NAMESPACE", "WITHDRAWN"});
  Json list = Json::array();
  for (auto token : tokens) {
    auto delegation = token.getDelegation();
    table.row({std::to_string(token.getId()), std::to_string(token.getUid()), joined(delegation.getProgramTypes()),
               joined(delegation.getAttachTypes()), joined(delegation.getMapTypes()), joined(delegation.getCommands()),
               token.getUserNamespace() ? std::to_string(token.getUserNamespace()) : "None", token.getWithdrawn() ? "yes" : "no"});
    list.push_back(jsonOf(token));
  }
  if (output == "json")
    print(std::cout, {{"tokens", list}});
  else
    table.print(std::cout);
}

kj::AutoCloseFd owned(int descriptor, const char* what) {
  if (descriptor < 0)
    fail(kj::str(what, ": ", strerror(errno), errno == EPERM ? " (it needs a user namespace and a mount namespace of its own)" : ""));
  return kj::AutoCloseFd(descriptor);
}

int create(Session& session, const CreateArguments& arguments) {
  auto context = owned(fsopen("bpf", FSOPEN_CLOEXEC), "fsopen(\"bpf\")");
  auto request = session.connection().tokens().createRequest();
  auto delegation = request.initDelegation();
  auto commands = splitAll(arguments.commands), maps = splitAll(arguments.maps), programs = splitAll(arguments.programs),
       attach = splitAll(arguments.attach);
  if (commands.empty()) commands = {"map_create", "prog_load", "btf_load"};
  put(delegation.initCommands(commands.size()), commands);
  put(delegation.initMapTypes(maps.size()), maps);
  put(delegation.initProgramTypes(programs.size()), programs);
  put(delegation.initAttachTypes(attach.size()), attach);
  request.setContext(carry(kj::AutoCloseFd(fcntl(context, F_DUPFD_CLOEXEC, 3))));
  auto answer = session.wait(request.send());
  auto mount = owned(fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), "mount the bpffs");
  if (move_mount(mount, "", AT_FDCWD, arguments.directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0)
    fail(kj::str("mount the bpffs on ", arguments.directory.c_str(), ": ", strerror(errno)));
  if (arguments.output == "json")
    print(std::cout, jsonOf(answer.getToken()));
  else
    std::cout << "Token " << answer.getToken().getId() << ": libbpf and others use it by LIBBPF_BPF_TOKEN_PATH=" << arguments.directory
              << "\n";
  return 0;
}

int list(Session& session, const std::string& output) {
  auto answer = session.wait(session.connection().tokens().listRequest().send());
  show(answer.getTokens(), output);
  return 0;
}

int withdraw(Session& session, uint32_t id, const std::string& output) {
  auto request = session.connection().tokens().withdrawRequest();
  request.setId(id);
  auto answer = session.wait(request.send());
  if (output != "json") std::cout << "Nothing more is delegated to that user. What can't be taken back, until the container ends:\n";
  show(answer.getLive(), output);
  return 0;
}

int forget(Session& session, uint32_t id) {
  auto request = session.connection().tokens().forgetRequest();
  request.setId(id);
  session.wait(request.send());
  return 0;
}

}  // namespace

void addToken(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<CreateArguments>();
  auto& making = *parent.add_subcommand("create", "Mount a bpffs here, in a container, from which tokens can be made");
  making.add_option("DIRECTORY", arguments->directory, "Where")->required();
  addRepeated(making, "--programs", arguments->programs,
              "TYPE[,...]: of programs that may be loaded, in the kernel's words: xdp, sched_cls, ...");
  addRepeated(making, "--attach", arguments->attach, "TYPE[,...]: with which attach types: xdp, tcx_ingress, ...; none: without one");
  addRepeated(making, "--maps", arguments->maps, "TYPE[,...]: of maps that may be made: hash, array, ringbuf, ...");
  addRepeated(making, "--commands", arguments->commands, "COMMAND[,...]: of map_create, prog_load, btf_load (default: all three)");
  addOutput(making, arguments->output);
  making.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return create(session, *arguments); }; });

  auto output = std::make_shared<std::string>("text");
  auto& listing = *parent.add_subcommand("list", "What was delegated, in this boot");
  addOutput(listing, *output);
  listing.callback([output, &chosen] { chosen = [output](Session& session) { return list(session, *output); }; });

  auto id = std::make_shared<uint32_t>();
  auto& withdrawing = *parent.add_subcommand("withdraw", "Delegate nothing more to a token's user, and show what can't be taken back");
  withdrawing.add_option("TOKEN", *id, "Its id")->required();
  addOutput(withdrawing, *output);
  withdrawing.callback([id, output, &chosen] { chosen = [id, output](Session& session) { return withdraw(session, *id, *output); }; });
  auto& forgetting = *parent.add_subcommand("forget", "Don't list one that is known to be gone");
  forgetting.add_option("TOKEN", *id, "Its id")->required();
  forgetting.callback([id, &chosen] { chosen = [id](Session& session) { return forget(session, *id); }; });
}

}  // namespace bpfman
