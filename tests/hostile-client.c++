// A client that speaks the protocol and means no good: each attack is a name on the command line, run against a live daemon by
// hostile_client_test.py, as any user. Prints what came of it, one "key value" a line; the test judges.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kj/debug.h>
#include <kj/encoding.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/ask-thrice.h"
#include "tests/deaf-relay.h"

namespace bpfman {

namespace {

struct Arguments {
  std::string runtimeDir, object;
  uint32_t program = 0;  // one that is loaded
};

class Attack {
 public:
  explicit Attack(const Arguments& arguments) : arguments(arguments), io(kj::setupAsyncIo()), daemon(io, socketOf(arguments.runtimeDir)) {}

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

  // A map, a file, a socket, a file that is only named, one whose name is a program's, and nothing, in place of a program.
  void badPrograms() {
    auto take = [&](schema::Descriptor::Client program) {
      auto request = daemon.programs().takeRequest();
      request.setProgram(kj::mv(program));
      request.initOptions().setName("xdp_counter");
      return outcome(request.send().ignoreResult());
    };
    auto map = firstMap(daemon).descriptorRequest();
    map.setAccess(schema::Map::Access::READ);
    report("map", take(map.send().getDescriptor()));
    report("file", take(carry(kj::AutoCloseFd(open(arguments.object.c_str(), O_RDONLY | O_CLOEXEC)))));
    report("path", take(carry(openPath(arguments.object.c_str()))));
    report("socket", take(carry(kj::AutoCloseFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)))));
    report("memfd", take(carry(kj::AutoCloseFd(memfd_create("anon_inode:bpf-prog", MFD_CLOEXEC)))));
    struct Nothing final : public schema::Descriptor::Server {};
    report("none", take(kj::heap<Nothing>()));
  }

  // What bpfman's own command line does not say, of a perf_event program.
  void badPlaces() {
    auto attach = [&](int32_t cpu, uint32_t neighbours) {
      auto request = given(daemon).attachRequest();
      auto place = request.initPlace().initPerfEvent();
      place.getEvent().setSoftware(0);
      place.getSampling().setPeriod(1);
      place.setCpu(cpu);
      for (auto neighbour : request.initBefore(neighbours)) neighbour.setLink(1);
      return outcome(request.send().ignoreResult());
    };
    report("cpu", attach(-2, 0));
    report("least_cpu", attach(INT32_MIN, 0));
    report("order", attach(0, 1));
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

  // Capabilities are piled up until no more are given; when some are let go of there is room again.
  void capabilities() {
    auto programs = daemon.programs();
    kj::Vector<schema::Program::Client> held;
    auto more = [&]() {
      auto request = programs.getRequest();
      request.setId(arguments.program);
      return outcome(request.send().then([&](auto&& answer) { held.add(answer.getProgram()); }));
    };
    std::string said = "ok";
    while (said == "ok" && held.size() < 5000) said = more();
    report("held", std::to_string(held.size()));
    report("then", said);
    held.clear();
    report("after", more());
  }

  void asksAgain() {
    uint32_t program = askThrice(io, arguments.runtimeDir.c_str(), "", [&](Connection& connection, kj::ArrayPtr<kj::byte> id) {
      auto request = connection.programs().loadRequest();
      request.initBytecode().setMemfd(carry(bytecodeFrom(arguments.object.c_str())));
      wish(request);
      request.getOptions().setRequestId(id);
      return request.send().then([](auto&& answer) { return answer.getLoaded()[0].getDetails().getRecord().getId(); });
    });
    askThrice(io, arguments.runtimeDir.c_str(), "link_", [&](Connection& connection, kj::ArrayPtr<kj::byte> id) {
      auto get = connection.programs().getRequest();
      get.setId(program);
      auto request = get.send().getProgram().attachRequest();
      auto place = request.initPlace().initXdp();
      place.setInterface("lo"), place.setPriority(10);
      request.setRequestId(id);
      return request.send().then([](auto&& answer) { return answer.getDetails().getRecord().getId(); });
    });
  }

  void takesAgain() {  // what is pinned at the path
    askThrice(io, arguments.runtimeDir.c_str(), "", [&](Connection& connection, kj::ArrayPtr<kj::byte> id) {
      auto request = connection.programs().takeRequest();
      request.setProgram(carry(pinnedProgram(arguments.object.c_str())));
      request.initOptions().setType(schema::ProgramType::XDP);
      request.getOptions().setRequestId(id);
      return request.send().then([](auto&& answer) { return answer.getDetails().getRecord().getId(); });
    });
  }

  // A program is narrowed, handed on to another client over a connection between the two, and taken back.
  void handsOn() {
    auto program = given(daemon);
    auto narrowed = [&](auto&& limit) {
      auto request = program.narrowRequest();
      limit(request.initNarrowing());
      return request.send().wait(io.waitScope);
    };
    auto onLo = narrowed([](auto limits) { limits.initInterfaces(1).set(0, "lo"); });
    auto looking = narrowed([](auto limits) { limits.setReadOnly(true); });
    auto kept = narrowed([](auto limits) { limits.setNoDescriptors(true); });

    Other other(io, onLo.getProgram());
    auto received = other.bootstrap().castAs<schema::Program>();
    report("other_interface", attachTo(received, "other0"));
    report("lo", attachTo(received, "lo"));
    report("tracing", outcome(tracing(received).send().ignoreResult()));
    report("read_only_get", outcome(looking.getProgram().getRequest().send().ignoreResult()));
    report("read_only_attach", attachTo(looking.getProgram(), "lo"));
    report("read_only_unload", outcome(looking.getProgram().unloadRequest().send().ignoreResult()));
    auto below = looking.getProgram().narrowRequest().send().wait(io.waitScope);
    report("below_read_only", attachTo(below.getProgram(), "lo"));
    auto firstOf = [&](schema::Program::Client of) { return of.mapsRequest().send().wait(io.waitScope).getMaps()[0].getMap(); };
    report("read_only_descriptor", outcome(firstOf(looking.getProgram()).descriptorRequest().send().ignoreResult()));
    report("read_only_ticket", outcome(firstOf(looking.getProgram()).ticketRequest().send().ignoreResult()));
    report("read_only_iterate", outcome(firstOf(looking.getProgram()).iterateRequest().send().ignoreResult()));
    report("no_iterator", outcome(firstOf(kept.getProgram()).iterateRequest().send().ignoreResult()));
    report("no_descriptor", outcome(firstOf(kept.getProgram()).descriptorRequest().send().ignoreResult()));
    auto map = firstOf(received);
    report("descriptor", outcome(map.descriptorRequest().send().ignoreResult()));

    auto revoked = onLo.getRevoker().revokeRequest().send().wait(io.waitScope);
    report("given_out", std::to_string(revoked.getHandedOver().size()));
    report("given_map", std::to_string(revoked.getHandedOver()[0].getMapId()));
    report("after_get", outcome(received.getRequest().send().ignoreResult()));
    report("after_map", outcome(map.infoRequest().send().ignoreResult()));
    report("after_iterate", outcome(map.iterateRequest().send().ignoreResult()));
    report("after_descriptor", outcome(map.descriptorRequest().send().ignoreResult()));
    looking.getRevoker().revokeRequest().send().wait(io.waitScope);
    report("below_revoked", outcome(below.getProgram().getRequest().send().ignoreResult()));
    report("own", outcome(program.getRequest().send().ignoreResult()));
  }

  // A program that is for sockets: its descriptor attaches it wherever its holder has one.
  void programDescriptor() {
    auto attempt = [&](const char* key, auto&& limit) {
      auto request = given(daemon).narrowRequest();
      limit(request.initNarrowing());
      auto narrowed = request.send().wait(io.waitScope);
      report(key, outcome(narrowed.getProgram().descriptorRequest().send().ignoreResult()));
      return narrowed.getRevoker().revokeRequest().send().wait(io.waitScope);
    };
    attempt("interfaces", [](auto limits) { limits.initInterfaces(1).set(0, "lo"); });
    attempt("read_only", [](auto limits) { limits.setReadOnly(true); });
    attempt("no_descriptors", [](auto limits) { limits.setNoDescriptors(true); });
    auto revoked = attempt("any", [](auto) {});
    for (auto given : revoked.getHandedOver()) report("given_program", std::to_string(given.getProgramId()));
  }

  // One ticket for a map, in hex, to read.
  void ticket() { ticketFor(schema::Map::Access::READ); }
  void elementsTicket() { ticketFor(schema::Map::Access::ELEMENTS); }

  // Of each map tickets to read, to write and for both; the next map's when the test has redeemed these.
  void mapTickets() {
    auto answer = given(daemon).mapsRequest().send().wait(io.waitScope);
    constexpr std::pair<const char*, schema::Map::Access> ACCESSES[] = {
        {"read", schema::Map::Access::READ}, {"write", schema::Map::Access::WRITE}, {"both", schema::Map::Access::READ_WRITE}};
    for (auto each : answer.getMaps()) {
      for (auto& [name, access] : ACCESSES) {
        auto ticket = each.getMap().ticketRequest();
        ticket.setAccess(access);
        report(each.getName().cStr(), name + (" " + issued(kj::mv(ticket))));
      }
      char byte;
      if (read(STDIN_FILENO, &byte, 1) <= 0) return;
    }
  }

  // An iterator over the elements of each map, and what came out of it.
  void elements() {
    auto answer = given(daemon).mapsRequest().send().wait(io.waitScope);
    for (auto each : answer.getMaps()) {
      auto said = outcome(each.getMap().iterateRequest().send().then([&](auto&& answer) {
        return received(answer.getDescriptor()).then([&](kj::AutoCloseFd iterator) {
          kj::byte bytes[32768];
          ssize_t got = read(iterator, bytes, sizeof bytes);
          report(each.getName().cStr(), kj::encodeHex(kj::arrayPtr(bytes, got < 0 ? 0 : got)).cStr());
        });
      }));
      if (said != "ok") report(each.getName().cStr(), said);
    }
  }

  // How the daemon sees us.
  void who() {
    auto answer = daemon.daemon().whoAmIRequest().send().wait(io.waitScope);
    std::string roles;
    for (auto role : answer.getRoles()) roles += std::string(" ") + role.cStr();
    report("uid", std::to_string(answer.getUid()));
    report("roles", "[" + roles + " ]");
    report("cgroup", std::to_string(answer.getCgroup()));
    report("user_namespace", std::to_string(answer.getUserNamespace()));
    report("network_namespace", std::to_string(answer.getNetworkNamespace()));
    report("unknown", answer.getUnknown().cStr());
    report("list", outcome(daemon.overview().programsRequest().send().ignoreResult()));
  }

  // A ticket that was issued through what is then revoked.
  void revokedTicket() {
    auto narrowed = firstMap(daemon).narrowRequest().send().wait(io.waitScope);
    auto answer = narrowed.getMap().ticketRequest().send().wait(io.waitScope);
    narrowed.getRevoker().revokeRequest().send().wait(io.waitScope);
    report("ticket", kj::encodeHex(answer.getTicket()).cStr());
  }

  // The same with descriptors of a map.
  void descriptors() {
    auto map = firstMap(daemon);
    kj::Vector<schema::Descriptor::Client> held;
    auto more = [&]() { return outcome(map.descriptorRequest().send().then([&](auto&& answer) { held.add(answer.getDescriptor()); })); };
    std::string said = "ok";
    while (said == "ok" && held.size() < 500) said = more();
    report("held", std::to_string(held.size()));
    report("then", said);
    held.clear();
    report("after", more());
  }

  // Descriptors of a file whose server goes silent (tests/fuse.py): wherever one can be passed, and then as many as are taken. What
  // was passed stays open here, as closing it would hang us.
  void neverAnswers() {
    int file;
    KJ_SYSCALL(file = open(arguments.object.c_str(), O_RDWR | O_CLOEXEC));
    report("opened", "1");
    char byte;
    KJ_SYSCALL(read(STDIN_FILENO, &byte, 1));  // now it is silent
    struct Kept final : public schema::Descriptor::Server {
      explicit Kept(int descriptor) : descriptor(descriptor) {}
      int descriptor;
      kj::Maybe<int> getFd() override { return descriptor; }
    };
    auto loading = [&](Connection& connection) {
      auto request = connection.programs().loadRequest();
      request.initBytecode().setMemfd(kj::heap<Kept>(file));
      wish(request);
      return outcome(request.send().ignoreResult());
    };
    report("bytecode", loading(daemon));
    auto request = given(daemon).attachRequest();
    auto place = request.initPlace().initXdp();
    place.setInterface("lo");
    place.setPriority(10);
    place.setNetns(kj::heap<Kept>(file));
    report("namespace", outcome(request.send().ignoreResult()));
    int refused = 0;
    std::string said;
    while (refused < 100) {  // on this connection as long as it lasts, then on others
      said = loading(daemon);
      if (said.find("is not a memfd") == std::string::npos) break;
      ++refused;
    }
    report("more", std::to_string(refused));
    report("then", said);
    std::string again;
    KJ_IF_MAYBE (problem, kj::runCatchingExceptions([&] {
                   Connection other(io, arguments.runtimeDir.c_str());
                   again = loading(other);
                 }))
      again = whatWentWrong(*problem).cStr();
    report("again", again);
    report("sent", "all");
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    _exit(0);
  }

  // Asks without end and takes no answer.
  void neverReads() {
    DeafRelay relay(connectSocket(arguments.runtimeDir.c_str()));
    Connection deaf(io, kj::mv(relay.client));
    auto overview = deaf.overview();
    overview.programsRequest().send().wait(io.waitScope);
    relay.deaf = true;
    ask(relay, 5000, [&] { return overview.programsRequest().send().ignoreResult(); });
  }

  // Asks for descriptors and receives none.
  void neverReceives() {
    DeafRelay relay(connectSocket(arguments.runtimeDir.c_str()));
    Connection deaf(io, kj::mv(relay.client));
    auto map = firstMap(deaf);
    relay.deaf = true;
    ask(relay, 40, [&] { return map.descriptorRequest().send().ignoreResult(); });
  }

 private:
  // RUNTIME_DIR, or fd:N for a socket that somebody else connected.
  static kj::AutoCloseFd socketOf(const std::string& place) {
    if (place.rfind("fd:", 0) != 0) return connectSocket(place.c_str());
    int socket = std::stoi(place.substr(3));
    KJ_SYSCALL(fcntl(socket, F_SETFL, O_NONBLOCK));
    return kj::AutoCloseFd(socket);
  }

  void ticketFor(schema::Map::Access access) {
    auto request = firstMap(daemon).ticketRequest();
    request.setAccess(access);
    report("ticket", issued(kj::mv(request)));
    stay();
  }

  // In hex, or why not.
  template <typename Request>
  std::string issued(Request request) {
    std::string ticket;
    auto said = outcome(request.send().then([&](auto&& answer) { ticket = kj::encodeHex(answer.getTicket()).cStr(); }));
    return ticket.empty() ? said : ticket;
  }

  // The connection stays until the test ends our input.
  static void stay() {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
  }

  const Arguments& arguments;
  kj::AsyncIoContext io;
  Connection daemon;

  // A client of ours: what it gets first is `given`.
  class Other {
   public:
    Other(kj::AsyncIoContext& io, schema::Program::Client given) {
      int ends[2];
      KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
      for (int i = 0; i < 2; ++i) streams[i] = io.lowLevelProvider->wrapSocketFd(ends[i], kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
      network = kj::heap<capnp::TwoPartyVatNetwork>(*streams[0], capnp::rpc::twoparty::Side::SERVER);
      rpc = kj::heap(capnp::makeRpcServer(*network, kj::mv(given)));
      client = kj::heap<capnp::TwoPartyClient>(*streams[1]);
    }
    capnp::Capability::Client bootstrap() { return client->bootstrap(); }

   private:
    kj::Own<kj::AsyncIoStream> streams[2];
    kj::Own<capnp::TwoPartyVatNetwork> network;
    kj::Own<capnp::RpcSystem<capnp::rpc::twoparty::VatId>> rpc;
    kj::Own<capnp::TwoPartyClient> client;
  };

  std::string attachTo(schema::Program::Client program, kj::StringPtr interface) {
    auto request = program.attachRequest();
    auto place = request.initPlace().initXdp();
    place.setInterface(interface);
    place.setPriority(10);
    return outcome(request.send().ignoreResult());
  }

  static capnp::Request<schema::Program::AttachParams, schema::Program::AttachResults> tracing(schema::Program::Client program) {
    auto request = program.attachRequest();
    request.initPlace().setRawTracepoint("sys_enter");
    return request;
  }

  // Sends as much as the daemon takes; then tells the test, and stays until its input ends.
  template <typename Call>
  void ask(DeafRelay& relay, int count, Call&& call) {
    std::vector<kj::Promise<void>> calls;
    for (int i = 0; i < count; ++i) calls.push_back(call().eagerlyEvaluate([](kj::Exception&&) {}));
    size_t before;
    do {
      before = relay.passed;
      io.provider->getTimer().afterDelay(500 * kj::MILLISECONDS).wait(io.waitScope);
    } while (before != relay.passed);
    report("sent", std::to_string(before));
    stay();
  }

  schema::Program::Client given(Connection& connection) {
    auto request = connection.programs().getRequest();
    request.setId(arguments.program);
    return request.send().getProgram();
  }
  schema::Map::Client firstMap(Connection& connection) {
    return given(connection).mapsRequest().send().wait(io.waitScope).getMaps()[0].getMap();
  }

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

const std::map<std::string, void (Attack::*)()> ATTACKS = {{"bad-bytecode", &Attack::badBytecode},
                                                           {"bad-places", &Attack::badPlaces},
                                                           {"bad-programs", &Attack::badPrograms},
                                                           {"calls", &Attack::calls},
                                                           {"capabilities", &Attack::capabilities},
                                                           {"asks-again", &Attack::asksAgain},
                                                           {"takes-again", &Attack::takesAgain},
                                                           {"hands-on", &Attack::handsOn},
                                                           {"program-descriptor", &Attack::programDescriptor},
                                                           {"ticket", &Attack::ticket},
                                                           {"elements-ticket", &Attack::elementsTicket},
                                                           {"map-tickets", &Attack::mapTickets},
                                                           {"elements", &Attack::elements},
                                                           {"who", &Attack::who},
                                                           {"revoked-ticket", &Attack::revokedTicket},
                                                           {"descriptors", &Attack::descriptors},
                                                           {"never-answers", &Attack::neverAnswers},
                                                           {"never-reads", &Attack::neverReads},
                                                           {"never-receives", &Attack::neverReceives}};

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
