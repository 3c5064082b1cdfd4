// bpfman link attach socket: the program is handed over, and given to a socket that this process was started with, or another's. No link:
// it belongs to the socket.
#include "cli/attach-kinds.h"
#include "cli/json.h"

#include <cerrno>
#include <cstring>
#include <iostream>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfman {
namespace {

struct SocketArguments {
  uint32_t program = 0, process = 0;
  int socket = -1;
  std::string output = "text";
};

kj::AutoCloseFd socketOf(const SocketArguments& arguments) {
  int found;
  if (arguments.process == 0) {
    found = dup(arguments.socket);
  } else {
    auto process = openProcess(arguments.process);
    found = syscall(SYS_pidfd_getfd, process.get(), arguments.socket, 0);
  }
  if (found < 0) {
    auto whose = arguments.process == 0 ? kj::str("this command (in a shell: 3<>/dev/tcp/...)") : kj::str("process ", arguments.process);
    fail(kj::str("descriptor ", arguments.socket, " of ", whose, ": ", strerror(errno)));
  }
  return kj::AutoCloseFd(found);
}

int attachSocket(Session& session, const SocketArguments& arguments) {
  auto socket = socketOf(arguments);
  auto program = findProgram(session, arguments.program);
  auto details = session.wait(program.getRequest().send());
  auto type = details.getDetails().getRecord().getType();
  auto answer = session.wait(program.descriptorRequest().send());
  auto descriptor = session.wait(received(answer.getDescriptor()));
  int option = type == schema::ProgramType::SOCKET_FILTER ? SO_ATTACH_BPF : SO_ATTACH_REUSEPORT_EBPF, number = descriptor.get();
  if (setsockopt(socket, SOL_SOCKET, option, &number, sizeof number) < 0)
    fail(kj::str("descriptor ", arguments.socket, " does not take program ", arguments.program, ": ", strerror(errno),
                 errno == EINVAL && option == SO_ATTACH_REUSEPORT_EBPF ? " (is SO_REUSEPORT set, and the socket bound?)" : ""));
  if (arguments.output == "json")
    print(std::cout, {{"program_id", arguments.program}, {"socket", arguments.socket}});
  else
    std::cout << "Attached, until the socket is closed\n";
  return 0;
}

}  // namespace

void addAttachSocket(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<SocketArguments>();
  auto& app = *parent.add_subcommand("socket", "To a socket (socket_filter and sk_reuseport programs); without a link");
  app.add_option("PROGRAM", arguments->program, "The program's id")->required();
  app.add_option("DESCRIPTOR", arguments->socket, "The socket's number")->required()->check(CLI::NonNegativeNumber);
  app.add_option("-p,--pid", arguments->process, "In this process (default: one that the command was started with)")
      ->check(CLI::Range(1, INT32_MAX));
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session& session) { return attachSocket(session, *arguments); }; });
}

}  // namespace bpfman
