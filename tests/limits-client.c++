// Asks for as much as docs/limits.md allows, and for one more: each row is tried against a live daemon by limits_test.py. Prints
// "NAME at TEXT" and "NAME above TEXT", where TEXT is "ok" or the reason of the refusal; the test judges.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kj/debug.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "client/client.h"

namespace bpfman {

namespace {

class Limits {
 public:
  Limits(kj::StringPtr runtimeDir, uint32_t program) : io(kj::setupAsyncIo()), program(program), daemon(io, runtimeDir) {}

  void run() {
    using Options = schema::LoadOptions::Builder;
    auto nothing = [](Options, uint32_t) {};
    load("object", {16 << 20, (16 << 20) + 1}, nothing, true);
    load("kernel_types", {16 << 20, (16 << 20) + 1}, [](Options options, uint32_t n) { options.setKernelTypes(sealed(n)); });
    load("map_sizes", {256, 257}, [](Options options, uint32_t n) {
      auto list = options.initMapSizes(n);
      for (uint32_t i = 0; i < n; ++i) list[i].setName(kj::str("map", i));
    });
    load("signature", {8192, 8193}, [](Options options, uint32_t n) {
      auto signature = options.initSignatures(1)[0];
      signature.setProgram(options.getPrograms()[0].getName());
      signature.initPkcs7(n);
    });
    load("programs", {64, 65}, [](Options options, uint32_t n) {
      auto list = options.initPrograms(n);
      for (uint32_t i = 0; i < n; ++i) {
        list[i].setType(schema::ProgramType::XDP);
        list[i].setName(kj::str("program", i));
      }
    });
    load("globals", {256, 257}, [](Options options, uint32_t n) {
      auto list = options.initGlobals(n);
      for (uint32_t i = 0; i < n; ++i) list[i].setName(kj::str("global", i));
    });
    load("global", {64 << 10, (64 << 10) + 1}, [](Options options, uint32_t n) {
      auto list = options.initGlobals(1);
      list[0].setName("global");
      list[0].initValue(n);
    });
    load("metadata_pairs", {64, 65}, [](Options options, uint32_t n) {
      auto list = options.initMetadata(n);
      for (uint32_t i = 0; i < n; ++i) list[i].setKey(kj::str("key", i));
    });
    load("metadata_bytes", {16 << 10, (16 << 10) + 1}, [](Options options, uint32_t n) {
      auto list = options.initMetadata(1);
      list[0].setKey("key");
      list[0].setValue(text(n - 3));
    });
    load("name", {255, 256}, [](Options options, uint32_t n) { options.setApplication(text(n)); });
    load("request_id", {64, 65}, [](Options options, uint32_t n) { options.initRequestId(n); });
    each("path", {4096, 4097}, [&](uint32_t n) {
      auto request = loading(4096, [](Options) {});
      request.getBytecode().setSourcePath(text(n));
      return outcome(request.send().ignoreResult());
    });
    each("narrowed", {64, 65}, [&](uint32_t n) {
      auto request = mine().narrowRequest();
      auto list = request.initNarrowing().initInterfaces(n);
      for (uint32_t i = 0; i < n; ++i) list.set(i, kj::str("lan", i));
      return outcome(request.send().ignoreResult());
    });
    each("elements", {4096, 4097}, [&](uint32_t n) {
      auto request = mine().mapsRequest().send().wait(io.waitScope).getMaps()[0].getMap().readRequest();
      request.setLimit(n);
      return outcome(request.send().ignoreResult());
    });
    each("audit_lines", {1000, 1001}, [&](uint32_t n) {
      auto request = daemon.audit().readRequest();
      request.initFilter().setLimit(n);
      return outcome(request.send().ignoreResult());
    });
    each("priority", {2147483647, 2147483648}, [&](uint32_t n) {
      auto request = mine().attachRequest();
      auto place = request.initPlace().initXdp();
      place.setInterface("lo");
      place.setPriority(static_cast<int32_t>(n));
      return outcome(request.send().ignoreResult());
    });
    uploads();
    tickets();
  }

 private:
  kj::AsyncIoContext io;
  const uint32_t program;
  Connection daemon;

  static kj::String text(size_t size) {
    auto result = kj::heapString(size);
    memset(result.begin(), 'x', size);
    return result;
  }

  std::string outcome(kj::Promise<void> promise) {
    return promise.then([] { return std::string("ok"); }, [](kj::Exception&& e) { return std::string(whatWentWrong(e).cStr()); })
        .wait(io.waitScope);
  }

  static void each(const char* name, std::vector<uint32_t> values, const std::function<std::string(uint32_t)>& ask) {
    for (size_t i = 0; i < values.size(); ++i) {
      printf("%s %s %s\n", name, i == 0 ? "at" : "above", ask(values[i]).c_str());
      fflush(stdout);
    }
  }

  static schema::Descriptor::Client sealed(size_t size) {
    int memfd;
    KJ_SYSCALL(memfd = memfd_create("bytecode", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    kj::AutoCloseFd file(memfd);
    KJ_SYSCALL(ftruncate(memfd, size));
    KJ_SYSCALL(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
    return carry(kj::mv(file));
  }

  // Bytecode that is no object: at the limit it is refused for that.
  template <typename Set>
  capnp::Request<schema::Programs::LoadParams, schema::LoadAnswer> loading(size_t size, Set&& set) {
    auto request = daemon.programs().loadRequest();
    request.initBytecode().setMemfd(sealed(size));
    auto wanted = request.initOptions().initPrograms(1);
    wanted[0].setType(schema::ProgramType::XDP);
    wanted[0].setName("nobody");
    set(request.getOptions());
    return request;
  }

  void load(const char* name, std::vector<uint32_t> values, const std::function<void(schema::LoadOptions::Builder, uint32_t)>& set,
            bool isSize = false) {
    each(name, values, [&](uint32_t n) {
      auto request = loading(isSize ? n : 4096, [&](auto options) { set(options, n); });
      std::string said;
      std::string failed = outcome(request.send().then([&](auto&& answer) {
        if (answer.isRefused()) said = answer.getRefused().getReason().cStr();
      }));
      return said.empty() ? failed : said;
    });
  }

  schema::Program::Client mine() {
    auto request = daemon.programs().getRequest();
    request.setId(program);
    return request.send().getProgram();
  }

  void uploads() {
    kj::Vector<schema::ByteSink::Client> held;
    each("uploads", {4, 5}, [&](uint32_t n) {
      std::string said = "ok";
      while (said == "ok" && held.size() < n) {
        auto request = daemon.programs().uploadRequest();
        request.setSize(1);
        said = outcome(request.send().then([&](auto&& answer) { held.add(answer.getSink()); }));
      }
      return said;
    });
  }

  void tickets() {
    uint32_t issued = 0;
    each("tickets", {16, 17}, [&](uint32_t n) {
      std::string said = "ok";
      for (; said == "ok" && issued < n; ++issued)
        said = outcome(mine().mapsRequest().send().wait(io.waitScope).getMaps()[0].getMap().ticketRequest().send().ignoreResult());
      return said;
    });
  }
};

}  // namespace

}  // namespace bpfman

int main(int argc, char* argv[]) {
  if (argc != 3) {
    fputs("Usage: limits-client RUNTIME_DIR PROGRAM_ID\n", stderr);
    return 2;
  }
  KJ_IF_MAYBE (exception,
               kj::runCatchingExceptions([&] { bpfman::Limits(argv[1], static_cast<uint32_t>(strtoul(argv[2], nullptr, 10))).run(); })) {
    fprintf(stderr, "%s\n", bpfman::whatWentWrong(*exception).cStr());
    return 1;
  }
  return 0;
}
