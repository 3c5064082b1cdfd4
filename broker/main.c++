// bpfmand: started by root, parent of all. It prepares what needs root once, keeps what starting a child again needs, and decides
// nothing about eBPF.
#include <fcntl.h>
#include <kj/debug.h>
#include <unistd.h>

#include <cstdio>

#include "broker/house.h"
#include "broker/supervise.h"
#include "seccomp/confine.h"

namespace bpfman {

// 0, 1 and 2 exist, and nothing else that our parent forgot (but systemd's socket) reaches us or our children.
static void tidyDescriptors() {
  int descriptor = 0;
  while (descriptor < 3) KJ_SYSCALL(descriptor = open("/dev/null", O_RDWR));
  KJ_SYSCALL(close_range(getenv("LISTEN_PID") ? 4 : 3, ~0u, 0));
}

static int run(int argc, char* argv[]) {
  House house;
  house.options = Options::parse(argc, argv);  // trusted input only: argv and root's own configuration
  if (geteuid() != 0) KJ_FAIL_REQUIRE("bpfmand has to be started by root");
  tidyDescriptors();
  furnish(house);  // directories, bpffs, sockets, users, the children's binaries
  Supervisor supervisor(house);
  noCoreDumps();
  dropBroker();                         // what is left: enough to start a child, and to enter a network namespace
  enterPolicy(seccomp::BROKER_POLICY);  // mounting, listening and executing by name are over for good
  supervisor.startFrontend();           // after that, so that the first one lives as the tenth
  return supervisor.run();
}

}  // namespace bpfman

int main(int argc, char* argv[]) {
  int status = 1;
  KJ_IF_MAYBE (problem, kj::runCatchingExceptions([&]() { status = bpfman::run(argc, argv); }))
    fprintf(stderr, "bpfmand: %s\n", problem->getDescription().cStr());
  return status;
}
