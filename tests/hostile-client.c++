// A client that speaks the protocol and means no good: each attack is a name on the command line, run against a live daemon by
// hostile_client_test.py, as any user. Prints what came of it, one "key value" a line; the test judges.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kj/debug.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "client/client.h"

namespace bpfman {

namespace {

struct Arguments {
  std::string runtimeDir, object;
  uint32_t program = 0;  // one that is loaded
};

class Attack {
 public:
  explicit Attack(const Arguments& arguments) : arguments(arguments), io(kj::setupAsyncIo()), daemon(io, arguments.runtimeDir.c_str()) {}

  // A memfd that could still be changed, a pipe, a file, and a capability without any descriptor.
  void badBytecode() {
    kj::AutoCloseFd unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING)), halfSealed(dup(unsealed.get()));
    KJ_SYSCALL(ftruncate(unsealed, 4096));
    report("unsealed", load(kj::mv(unsealed)));
    KJ_SYSCALL(fcntl(halfSealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    report("half_sealed", load(kj::mv(halfSealed)));
    int ends[2];
    KJ_SYSCALL(pipe2(ends, O_CLOEXEC));
    kj::AutoCloseFd read(ends[0]), write(ends[1]);
    report("pipe", load(kj::mv(read)));
    report("file", load(kj::AutoCloseFd(open(arguments.object.c_str(), O_RDONLY | O_CLOEXEC))));
    struct Nothing final : public schema::Descriptor::Server {};
    auto request = daemon.programs().loadRequest();
    request.initBytecode().setMemfd(kj::heap<Nothing>());
    wish(request);
    report("none", outcome(request.send().ignoreResult()));
  }

  // Many calls at once, on two connections: what is above the limit fails, what is below is answered.
  void calls() {
    Connection second(io, arguments.runtimeDir.c_str());
    auto overview = daemon.overview(), other = second.overview();
    std::vector<kj::Promise<std::string>> answers;
    for (int i = 0; i < 100; ++i) {
      auto request = (i % 2 ? other : overview).attachmentsRequest();
      answers.push_back(later(request.send().ignoreResult()));
    }
    count(answers);
  }

 private:
  const Arguments& arguments;
  kj::AsyncIoContext io;
  Connection daemon;

  static void report(const char* key, const std::string& value) {
    printf("%s %s\n", key, value.c_str());
    fflush(stdout);
  }

  void count(std::vector<kj::Promise<std::string>>& answers) {
    std::map<std::string, int> counts;
    for (auto& answer : answers) ++counts[answer.wait(io.waitScope)];
    for (auto& [text, number] : counts) printf("%d %s\n", number, text.c_str());
  }

  static kj::Promise<std::string> later(kj::Promise<void> promise) {
    return promise.then([] { return std::string("ok"); }, [](kj::Exception&& e) { return std::string(whatWentWrong(e).cStr()); });
  }
  std::string outcome(kj::Promise<void> promise) { return later(kj::mv(promise)).wait(io.waitScope); }

  template <typename Request>
  void wish(Request& request) {
    auto wanted = request.initOptions().initPrograms(1);
    wanted[0].setType(schema::ProgramType::XDP);
    wanted[0].setName("xdp_counter");
  }

  std::string load(kj::AutoCloseFd bytecode) {
    auto request = daemon.programs().loadRequest();
    request.initBytecode().setMemfd(carry(kj::mv(bytecode)));
    wish(request);
    return outcome(request.send().ignoreResult());
  }
};

const std::map<std::string, void (Attack::*)()> ATTACKS = {{"bad-bytecode", &Attack::badBytecode}, {"calls", &Attack::calls}};

}  // namespace

}  // namespace bpfman

int main(int argc, char* argv[]) {
  auto attack = argc == 5 ? bpfman::ATTACKS.find(argv[1]) : bpfman::ATTACKS.end();
  if (attack == bpfman::ATTACKS.end()) {
    fputs("Usage: hostile-client ATTACK RUNTIME_DIR OBJECT PROGRAM_ID\n", stderr);
    return 2;
  }
  bpfman::Arguments arguments{argv[2], argv[3], static_cast<uint32_t>(strtoul(argv[4], nullptr, 10))};
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { (bpfman::Attack(arguments).*attack->second)(); })) {
    fprintf(stderr, "%s\n", bpfman::whatWentWrong(*exception).cStr());
    return 1;
  }
  return 0;
}
