// What a program that links the library fears: a daemon that is not there, one that restarts, a descriptor that does not arrive.
#include "client/client.h"
#include "tests/cannot-run.h"

#include <gtest/gtest.h>
#include <kj/debug.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace bpfman {
namespace {

struct Directory {
  std::string path = "/tmp/bpfman-client-XXXXXX";
  Directory() { KJ_REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string operator/(const char* name) const { return path + "/" + name; }
};

kj::AutoCloseFd listenAt(const std::string& path) {
  kj::AutoCloseFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  KJ_SYSCALL(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  KJ_SYSCALL(listen(fd.get(), 8));
  return fd;
}

template <typename F>
std::string errorOf(F&& function) {
  try {
    function();
  } catch (const kj::Exception& exception) { return whatWentWrong(exception).cStr(); }
  return "";
}

// A daemon whose version tells what arrived with the call: `engine` is set from the descriptor of a program's bytecode.
class Programs final : public schema::Programs::Server {
  kj::Promise<void> load(LoadContext context) override {
    auto memfd = context.getParams().getBytecode().getMemfd();
    return received(memfd).then([context](kj::AutoCloseFd fd) mutable {
      struct stat status;
      KJ_SYSCALL(fstat(fd.get(), &status));
      auto refusal = context.getResults().initRefused();
      refusal.setReason(kj::str(status.st_size, " bytes, seals ", fcntl(fd.get(), F_GET_SEALS)));
    });
  }
};

class Daemon final : public schema::Daemon::Server {
  kj::Promise<void> version(VersionContext context) override {
    context.getResults().setVersion("fake");
    return kj::READY_NOW;
  }
  kj::Promise<void> enter(EnterContext context) override {
    context.getResults().setPrograms(kj::heap<Programs>());
    return kj::READY_NOW;
  }
};

TEST(Connect, SaysThatTheDaemonIsNotRunningAndHowToStartIt) {
  Directory directory;
  auto text = errorOf([&] { connectSocket(directory.path.c_str()); });
  EXPECT_EQ(text, "bpfmand is not running: no socket at " + directory.path +
                      "/bpfman.sock; start it with 'systemctl start bpfman' or 'bpfman serve'");
}

TEST(Connect, SaysThatASocketIsThereButNobodyAnswers) {
  Directory directory;
  listenAt(directory / "bpfman.sock");
  EXPECT_NE(errorOf([&] { connectSocket(directory.path.c_str()); }).find("nobody answers at"), std::string::npos);
}

TEST(Connect, SaysThatPermissionIsMissing) {
  if (geteuid() != 0) CANNOT_RUN("needs root to become another user");
  Directory directory;
  auto listener = listenAt(directory / "bpfman.sock");
  KJ_SYSCALL(chmod((directory / "bpfman.sock").c_str(), 0600));
  KJ_SYSCALL(chmod(directory.path.c_str(), 0755));
  KJ_SYSCALL(seteuid(65534));
  auto text = errorOf([&] { connectSocket(directory.path.c_str()); });
  KJ_SYSCALL(seteuid(0));
  EXPECT_EQ(text.find("permission denied on " + directory.path + "/bpfman.sock"), 0u) << text;
}

TEST(Connect, ReachesASocketWhosePathIsLongerThanAnAddress) {
  Directory directory;
  auto deep = directory.path + "/" + std::string(100, 'a') + "/" + std::string(100, 'b');
  std::filesystem::create_directories(deep);
  auto listener = listenAt(directory / "s");
  std::filesystem::rename(directory / "s", deep + "/bpfman.sock");
  EXPECT_EQ(errorOf([&] { connectSocket(deep.c_str()); }), "");
}

TEST(Connect, WaitsForADaemonThatRestarts) {
  Directory directory;
  auto io = kj::setupAsyncIo();
  auto path = directory / "bpfman.sock";
  listenAt(path);  // what a daemon that died leaves behind
  kj::Own<kj::ConnectionReceiver> listener;
  capnp::TwoPartyServer server(kj::heap<Daemon>());
  kj::Promise<void> serving = io.provider->getTimer().afterDelay(150 * kj::MILLISECONDS).then([&] {
    unlink(path.c_str());
    listener = io.lowLevelProvider->wrapListenSocketFd(listenAt(path));
    return server.listenCapStreamReceiver(*listener, DESCRIPTORS_PER_MESSAGE);
  });
  serving = serving.eagerlyEvaluate(nullptr);
  auto connection = connectWithin(io, directory.path.c_str(), 20 * kj::SECONDS).wait(io.waitScope);
  auto answer = connection->daemon().versionRequest().send().wait(io.waitScope);
  EXPECT_STREQ(answer.getVersion().cStr(), "fake");
}

TEST(Connect, LosesPatience) {
  Directory directory;
  auto io = kj::setupAsyncIo();
  listenAt(directory / "bpfman.sock");
  auto text = errorOf([&] { connectWithin(io, directory.path.c_str(), 120 * kj::MILLISECONDS).wait(io.waitScope); });
  EXPECT_NE(text.find("nobody answers"), std::string::npos);
}

TEST(Descriptor, BytecodeArrivesSealedOverTheRpc) {
  auto io = kj::setupAsyncIo();
  int pair[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  auto stream = io.lowLevelProvider->wrapUnixSocketFd(kj::AutoCloseFd(pair[0]));
  capnp::TwoPartyClient server(*stream, DESCRIPTORS_PER_MESSAGE, kj::heap<Daemon>(), capnp::rpc::twoparty::Side::SERVER);
  Connection connection(io, kj::AutoCloseFd(pair[1]));

  auto request = connection.programs().loadRequest();
  request.initBytecode().setMemfd(carry(sealedMemfd(kj::heapArray<kj::byte>(123))));
  auto answer = request.send().wait(io.waitScope);
  int all = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  EXPECT_STREQ(answer.getRefused().getReason().cStr(), kj::str("123 bytes, seals ", all).cStr());
}

TEST(Descriptor, ALostConnectionSaysSo) {
  auto io = kj::setupAsyncIo();
  int pair[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  Connection connection(io, kj::AutoCloseFd(pair[1]));
  close(pair[0]);
  auto text = errorOf([&] { connection.daemon().versionRequest().send().wait(io.waitScope); });
  EXPECT_EQ(text.find("the connection to bpfmand was lost"), 0u) << text;
}

TEST(Bytecode, EveryUnusableFileIsNamedWithItsReason) {
  Directory directory;
  auto check = [&](const std::string& path, const char* reason) {
    auto text = errorOf([&] { bytecodeFrom(path.c_str()); });
    EXPECT_NE(text.find(reason), std::string::npos) << text;
    EXPECT_NE(text.find(path), std::string::npos) << text;
  };
  check(directory / "missing.o", "No such file or directory");
  check(directory.path, "is a directory");
  KJ_SYSCALL(mkfifo((directory / "fifo").c_str(), 0600));
  check(directory / "fifo", "not a regular file");
  std::ofstream(directory / "empty.o");
  check(directory / "empty.o", "is empty");
  std::ofstream(directory / "large.o") << "x";
  KJ_SYSCALL(truncate((directory / "large.o").c_str(), MAX_BYTECODE));
  EXPECT_EQ(errorOf([&] { bytecodeFrom((directory / "large.o").c_str()); }), "");
  KJ_SYSCALL(truncate((directory / "large.o").c_str(), MAX_BYTECODE + 1));
  check(directory / "large.o", "the limit is 16 MiB");
}

TEST(Netns, IsToldFromOtherFiles) {
  EXPECT_EQ(errorOf([] { openNetns("/proc/self/ns/net"); }), "");
  EXPECT_EQ(errorOf([] { openNetns("/proc/self/ns/mnt"); }), "/proc/self/ns/mnt is not a network namespace");
  EXPECT_EQ(errorOf([] { openNetns("/etc/passwd"); }), "/etc/passwd is not a network namespace");
  EXPECT_NE(errorOf([] { openNetns("/run/netns/no-such"); }).find("No such file"), std::string::npos);
}

TEST(Errors, LoseTheMarksOfTheWay) {
  kj::Exception remote(kj::Exception::Type::FAILED, "a.c++", 1, kj::str("remote exception: remote exception: link 3 does not exist"));
  EXPECT_STREQ(whatWentWrong(remote).cStr(), "link 3 does not exist");
  EXPECT_TRUE(saysAbsent(remote));
  EXPECT_TRUE(saysAbsent(kj::Exception(kj::Exception::Type::FAILED, "a.c++", 1, kj::str("remote exception: not found"))));
  EXPECT_FALSE(saysAbsent(kj::Exception(kj::Exception::Type::FAILED, "a.c++", 1, kj::str("interface x does not exist in there"))));
}

}  // namespace
}  // namespace bpfman
