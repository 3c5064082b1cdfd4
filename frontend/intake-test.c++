#include "frontend/intake.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <kj/async-unix.h>
#include <kj/debug.h>

#include "frontend/intake-stream.h"
#include "frontend/limits.h"
#include "tests/cannot-run.h"

namespace bpfman {
namespace {

constexpr int ALL = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
using namespace std::chrono_literals;

template <typename Do>
std::string refusalOf(Do&& act) {
  try {
    act();
  } catch (kj::Exception& error) { return error.getDescription().cStr(); }
  return "";
}

kj::AutoCloseFd memfd(uint64_t size, int seals) {
  int result;
  KJ_SYSCALL(result = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  kj::AutoCloseFd file(result);
  KJ_SYSCALL(ftruncate(file, size));
  if (seals != 0) { KJ_SYSCALL(fcntl(file, F_ADD_SEALS, seals)); }
  return file;
}

kj::AutoCloseFd opened(const char* path, int flags = O_RDONLY) {
  int result;
  KJ_SYSCALL(result = open(path, flags | O_CLOEXEC, 0600), path);
  return kj::AutoCloseFd(result);
}

template <typename Check>
bool soon(Check&& check) {
  for (auto end = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(1ms)) {
    if (check()) return true;
  }
  return false;
}

// A TCP socket with data that its peer does not read: closing it blocks for the seconds that it lingers. Anyone can make and pass one.
struct Lingering {
  kj::AutoCloseFd mine, peer;
};

Lingering lingering(int seconds) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  kj::AutoCloseFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  kj::AutoCloseFd mine(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  KJ_SYSCALL(bind(listener, reinterpret_cast<sockaddr*>(&address), size));
  KJ_SYSCALL(listen(listener, 1));
  KJ_SYSCALL(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size));
  KJ_SYSCALL(connect(mine, reinterpret_cast<sockaddr*>(&address), size));
  kj::AutoCloseFd peer(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  linger option{1, seconds};
  KJ_SYSCALL(setsockopt(mine, SOL_SOCKET, SO_LINGER, &option, sizeof option));
  static const char block[64 << 10] = {};
  while (send(mine, block, sizeof block, MSG_DONTWAIT) > 0) {}
  return {kj::mv(mine), kj::mv(peer)};
}

TEST(Object, IsASealedMemfdOfOneByteToSixteenMiB) {
  Intake intake;
  for (uint64_t size : {uint64_t(1), limits::OBJECT_BYTES}) {
    SealedObject object = intake.object(memfd(size, ALL));
    EXPECT_EQ(object.size(), size);
    EXPECT_EQ(fcntl(object.fd(), F_GET_SEALS) & ALL, ALL);
  }
  EXPECT_NE(refusalOf([&] { intake.object(memfd(0, ALL)); }).find("empty"), std::string::npos);
  EXPECT_NE(refusalOf([&] { intake.object(memfd(limits::OBJECT_BYTES + 1, ALL)); }).find("16777216"), std::string::npos);
}

TEST(Object, NeedsEverySeal) {
  Intake intake;
  for (int missing : {F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_SEAL}) {
    EXPECT_NE(refusalOf([&] { intake.object(memfd(100, ALL & ~missing)); }).find("not sealed"), std::string::npos);
  }
}

TEST(Object, IsNoOtherKindOfFile) {
  Intake intake;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  kj::AutoCloseFd writeEnd(ends[1]);
  EXPECT_NE(refusalOf([&] { intake.object(kj::AutoCloseFd(ends[0])); }).find("not a memfd"), std::string::npos);
  for (auto path : {"/etc/hostname", "/dev/null", "/proc/self/status", "/proc/self/ns/net", "/"}) {
    EXPECT_NE(refusalOf([&] { intake.object(opened(path)); }), "") << path;
  }
  EXPECT_NE(refusalOf([&] { intake.object(opened("/etc/hostname", O_PATH)); }), "");
  EXPECT_TRUE(soon([&] { return intake.closer().waiting() == 0; }));
}

TEST(Namespace, IsKnownByItsLinkAndInode) {
  Intake intake;
  struct stat status;
  ASSERT_EQ(stat("/proc/self/ns/net", &status), 0);
  NamespaceTarget target = intake.networkNamespace(opened("/proc/self/ns/net"));
  EXPECT_EQ(target.nsid(), status.st_ino);
  EXPECT_FALSE(target.ownedBy(0));
  EXPECT_FALSE(target.ownedBy(1000));
}

TEST(Namespace, IsNothingElse) {
  Intake intake;
  for (auto path : {"/proc/self/ns/mnt", "/proc/self/ns/user", "/etc/hostname", "/dev/null", "/tmp"}) {
    EXPECT_NE(refusalOf([&] { intake.networkNamespace(opened(path)); }).find("not a network namespace"), std::string::npos) << path;
  }
  EXPECT_NE(refusalOf([&] { intake.networkNamespace(memfd(1, 0)); }), "");
  std::string fake = "/tmp/net:[4026531840]";
  EXPECT_NE(refusalOf([&] { intake.networkNamespace(opened(fake.c_str(), O_CREAT | O_RDWR)); }), "");
  unlink(fake.c_str());
}

// As the frontend is: not root, and without core dumps, so that its own files under /proc belong to root.
TEST(Namespace, IsKnownToAProcessWithoutPrivilege) {
  if (getuid() != 0) CANNOT_RUN("needs root, to become user 1234");
  pid_t child = fork();
  if (child == 0) {
    if (setresgid(1234, 1234, 1234) < 0 || setresuid(1234, 1234, 1234) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) _exit(1);
    Intake intake;
    std::string refusal = refusalOf([&] { intake.networkNamespace(opened("/proc/self/ns/net")); });
    _exit(refusal.empty() ? 0 : 2);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Namespace, BelongsToWhoMadeItsUserNamespace) {
  if (getuid() != 0) CANNOT_RUN("needs root, to become user 1234");
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready) | pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    close(done[1]);
    char answer = setresuid(1234, 1234, 1234) == 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 'y' : 'n';
    if (write(ready[1], &answer, 1) != 1) _exit(1);
    _exit(read(done[0], &answer, 1) == 0 ? 0 : 1);
  }
  char answer = 'n';
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  if (answer == 'y') {
    Intake intake;
    NamespaceTarget target = intake.networkNamespace(opened(kj::str("/proc/", child, "/ns/net").cStr()));
    EXPECT_TRUE(target.ownedBy(1234));
    EXPECT_FALSE(target.ownedBy(1235));
    EXPECT_FALSE(target.ownedBy(0));
  }
  for (int end : {ready[0], ready[1], done[0], done[1]}) close(end);
  waitpid(child, nullptr, 0);
  if (answer != 'y') CANNOT_RUN("users can't make user namespaces here");
}

TEST(Target, IsWhatTheKernelSaysAndNothingElse) {
  Intake intake;
  auto path = [](const char* name) { return kj::AutoCloseFd(open(name, O_PATH | O_CLOEXEC)); };
  EXPECT_EQ(intake.binary(path("/proc/self/exe")).owner, getuid());
  EXPECT_NE(refusalOf([&] { intake.binary(path("/")); }), "");
  EXPECT_NE(refusalOf([&] { intake.binary(kj::AutoCloseFd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC))); }), "") << "closing it may wait";
  EXPECT_NE(refusalOf([&] { intake.binary({}); }), "");
  for (auto name : {"/", "/proc/self/exe", "/dev/null"}) EXPECT_NE(refusalOf([&] { intake.cgroup(path(name)); }), "");
  EXPECT_NE(refusalOf([&] { intake.process(path("/proc/self")); }), "");
  kj::AutoCloseFd self(syscall(SYS_pidfd_open, getpid(), 0));
  int copy;
  KJ_SYSCALL(copy = fcntl(self, F_DUPFD_CLOEXEC, 3));
  std::string refusal = refusalOf([&] { intake.process(kj::AutoCloseFd(copy)); });
  if (refusal.find("6.13") != std::string::npos) CANNOT_RUN(refusal);
  auto process = intake.process(kj::mv(self));
  EXPECT_EQ(process.pid(), getpid());
  EXPECT_EQ(process.ownedBy(getuid()), getuid() != 0);
  EXPECT_TRUE(process.alive());
}

TEST(FileSystemContext, IsTakenOnceByItsStandInAndClosedByTheCloser) {
  Intake intake;
  auto refused = [&](int descriptor) {
    EXPECT_NE(refusalOf([&] { intake.contexts.take(descriptor); }).find("is not a file system's context"), std::string::npos);
  };
  for (auto file : {memfd(100, ALL).release(), opened("/dev/zero").release(), eventfd(1000, EFD_CLOEXEC)}) {
    refused(file);
    EXPECT_FALSE(Contexts::isContext(file));
    close(file);
  }
  int context = fsopen("bpf", FSOPEN_CLOEXEC), other = fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (context < 0) CANNOT_RUN(strerror(errno));
  EXPECT_TRUE(Contexts::isContext(context) && Contexts::isContext(other));
  auto kept = intake.contexts.keep(kj::AutoCloseFd(context), 4001), dropped = intake.contexts.keep(kj::AutoCloseFd(other), 4001);
  intake.contexts.drop(dropped.number);
  EXPECT_TRUE(soon([&] { return fcntl(other, F_GETFD) < 0; }));
  refused(dropped.standIn);
  {
    auto taken = intake.contexts.take(kept.standIn);
    EXPECT_EQ(taken.fd(), context);
    refused(kept.standIn);
  }
  EXPECT_TRUE(soon([&] { return fcntl(context, F_GETFD) < 0; }));
}

// What one is needs a kernel that lets us load: tests/attach_only_test.py.
TEST(Program, IsNothingThatOnlyLooksLikeOne) {
  Intake intake;
  auto directory = kj::str("/tmp/bpfman-intake-", getpid());
  ASSERT_EQ(mkdir(directory.cStr(), 0700), 0);
  auto named = kj::str(directory, "/anon_inode:bpf-prog");
  auto refused = [&](kj::AutoCloseFd descriptor) {
    EXPECT_NE(refusalOf([&] { intake.program(kj::mv(descriptor)); }).find("is not a program"), std::string::npos);
  };
  refused(opened(named.cStr(), O_RDWR | O_CREAT));
  refused(opened(named.cStr(), O_PATH));
  unlink(named.cStr());
  ASSERT_EQ(symlink("anon_inode:bpf-prog", named.cStr()), 0);
  refused(opened(named.cStr(), O_PATH | O_NOFOLLOW));
  unlink(named.cStr());
  rmdir(directory.cStr());
  refused(memfd(100, ALL));
  refused(opened("/proc/self/ns/net"));
  int result;
  KJ_SYSCALL(result = memfd_create("anon_inode:bpf-prog", MFD_CLOEXEC));
  refused(kj::AutoCloseFd(result));
  KJ_SYSCALL(result = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(intake.harmless(result));
  refused(kj::AutoCloseFd(result));
  EXPECT_TRUE(soon([&] { return intake.closer().waiting() == 0; }));
}

TEST(Upload, BecomesASealedObject) {
  kj::byte bytes[] = {1, 2, 3, 4, 5};
  Upload upload(10);
  upload.write(bytes);
  EXPECT_NE(refusalOf([&] { upload.finish(); }).find("only 5 of the 10"), std::string::npos);
  upload.write(bytes);
  EXPECT_NE(refusalOf([&] { upload.write(kj::arrayPtr(bytes, 1)); }).find("more bytes"), std::string::npos);
  SealedObject object = upload.finish();
  kj::byte content[10];
  ASSERT_EQ(pread(object.fd(), content, 10, 0), 10);
  EXPECT_EQ(content[9], 5);
  EXPECT_EQ(fcntl(object.fd(), F_GET_SEALS) & ALL, ALL);
  EXPECT_LT(pwrite(object.fd(), "x", 1, 0), 0);
  EXPECT_NE(refusalOf([&] { upload.finish(); }).find("already"), std::string::npos);
}

TEST(Upload, IsBoundedByWhatIsAllowedForAnObject) {
  EXPECT_NE(refusalOf([] { Upload upload(0); }), "");
  EXPECT_NE(refusalOf([] { Upload upload(limits::OBJECT_BYTES + 1); }), "");
  EXPECT_NE(refusalOf([] { Upload upload(UINT64_MAX); }), "");
  Upload upload(limits::OBJECT_BYTES);
}

TEST(Closer, DoesNotMakeTheCallerWait) {
  auto slow = lingering(2);
  Closer closer;
  auto begin = std::chrono::steady_clock::now();
  closer.close(kj::mv(slow.mine));
  closer.close(opened("/dev/null"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 500ms);
  EXPECT_TRUE(soon([&] { return closer.waiting() == 1; }));
  slow.peer = nullptr;  // the connection is reset: nothing to linger for
  EXPECT_TRUE(soon([&] { return closer.waiting() == 0; }));
}

TEST(Closer, GoesOnWhenAllItsThreadsHung) {
  Closer closer;
  std::vector<Lingering> slow;
  for (uint32_t n = 0; n < limits::CLOSERS + 5; ++n) slow.push_back(lingering(30));
  for (auto& one : slow) closer.close(kj::mv(one.mine));
  closer.close(opened("/dev/null"));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(closer.waiting(), limits::CLOSERS + 6);
  slow.clear();
  EXPECT_TRUE(soon([&] { return closer.waiting() == 0; }));
}

class GuardedStream : public testing::Test {
 public:
  ~GuardedStream() noexcept override {}

 protected:
  Intake intake;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::CapabilityPipe pipe = io.provider->newCapabilityPipe();
  kj::Own<kj::AsyncCapabilityStream> server = guard(kj::mv(pipe.ends[0]), intake, 4001);
  kj::byte buffer[64];
  kj::AutoCloseFd received[4];

  kj::AsyncCapabilityStream& client() { return *pipe.ends[1]; }
  void send(kj::StringPtr text, std::vector<int> fds) {
    client().writeWithFds(text.asBytes(), nullptr, kj::arrayPtr(fds.data(), fds.size())).wait(io.waitScope);
  }
  kj::AsyncCapabilityStream::ReadResult receive(size_t minBytes, size_t maxFds = 4) {
    return server->tryReadWithFds(buffer, minBytes, sizeof buffer, received, maxFds).wait(io.waitScope);
  }
};

TEST_F(GuardedStream, LetsMemfdsAndNamespacesThrough) {
  auto file = memfd(7, ALL), netns = opened("/proc/self/ns/net");
  send("hello", {file, netns});
  auto got = receive(5);
  EXPECT_EQ(got.byteCount, 5u);
  ASSERT_EQ(got.capCount, 2u);
  EXPECT_EQ(intake.object(kj::mv(received[0])).size(), 7u);
  intake.networkNamespace(kj::mv(received[1]));
}

TEST_F(GuardedStream, PutsAStandInWhereADescriptorCouldBlock) {
  auto slow = lingering(20);
  auto file = memfd(7, ALL);
  send("hello", {slow.mine, file});
  slow.mine = nullptr;  // the message holds it now
  auto begin = std::chrono::steady_clock::now();
  auto got = receive(5);
  ASSERT_EQ(got.capCount, 2u);
  received[0] = nullptr;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(intake.object(kj::mv(received[1])).size(), 7u);
  EXPECT_EQ(intake.closer().waiting(), 1u);
  slow.peer = nullptr;
  EXPECT_TRUE(soon([&] { return intake.closer().waiting() == 0; }));
}

// Small pieces, each with descriptors: what exceeds the reader's room must go to the closer too, never to kj, which would close it here.
TEST_F(GuardedStream, LeavesWhatExceedsTheRoomToTheCloser) {
  std::vector<Lingering> slow;
  for (int n = 0; n < 6; ++n) slow.push_back(lingering(20));
  for (auto& one : slow) {
    send("x", {one.mine});
    one.mine = nullptr;
  }
  auto begin = std::chrono::steady_clock::now();
  auto got = receive(6, 3);
  EXPECT_EQ(got.byteCount, 6u);
  EXPECT_EQ(got.capCount, 3u);
  for (auto& stand : received) stand = nullptr;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(intake.closer().waiting(), 6u);
  slow.clear();
  EXPECT_TRUE(soon([&] { return intake.closer().waiting() == 0; }));
}

TEST_F(GuardedStream, EndsWhereTheOtherEnds) {
  send("abc", {});
  client().shutdownWrite();
  EXPECT_EQ(receive(10).byteCount, 3u);
}

}  // namespace
}  // namespace bpfman
