// The real delegator, as root starts it, and contexts of all sorts of file systems: only a fresh bpffs is created by it.
#include "schema/ceiling.h"
#include "schema/delegator.h"
#include "schema/descriptors.h"
#include "tests/cannot-run.h"

#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace bpfman {
namespace {

constexpr int ENDED = 1000;  // it answered nothing

class Delegator : public testing::Test {
 protected:
  wire::Ceiling ceiling{};
  wire::Delegation xdp{1ull << BPF_PROG_LOAD, 1ull << BPF_MAP_TYPE_ARRAY, 1ull << BPF_PROG_TYPE_XDP, 1ull << BPF_XDP};
  int status = 0;

  void SetUp() override {
    if (geteuid() != 0) CANNOT_RUN("needs root");
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ceiling.programTypes = 1ull << BPF_PROG_TYPE_XDP, ceiling.attachTypes[0] = 1ull << BPF_XDP,
    ceiling.mapTypes = 1ull << BPF_MAP_TYPE_ARRAY;
  }

  // What it answers to these bytes and that descriptor (-1: none).
  int ask(const void* job, size_t size, int context) {
    int pair[2], memfd = memfd_create("ceiling", 0);
    (void)!pwrite(memfd, &ceiling, sizeof ceiling, 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) abort();
    pid_t child = fork();
    if (child == 0) {
      dup2(pair[1], 100), dup2(memfd, 101);
      dup2(100, wire::fd::control), dup2(101, wire::fd::delegator::ceiling);
      close_range(wire::fd::delegator::ceiling + 1, ~0u, 0);
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      execl(DELEGATOR, "bpfman-delegator", nullptr);
      _exit(99);
    }
    close(pair[1]), close(memfd);
    iovec part{const_cast<void*>(job), size};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{nullptr, 0, &part, 1, context < 0 ? nullptr : space, context < 0 ? 0 : sizeof space, 0};
    if (context >= 0) {
      *CMSG_FIRSTHDR(&message) = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
      memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &context, sizeof context);
    }
    (void)!sendmsg(pair[0], &message, MSG_NOSIGNAL);
    wire::Delegated answer{ENDED};
    if (read(pair[0], &answer, sizeof answer) != sizeof answer) answer.result = ENDED;
    close(pair[0]);
    waitpid(child, &status, 0);
    return answer.result;
  }
  int ask(const wire::Delegation& wish, int context) { return ask(&wish, sizeof wish, context); }
};

TEST_F(Delegator, CreatesABpffsOnce) {
  int bpffs = fsopen("bpf", FSOPEN_CLOEXEC);
  int result = ask(xdp, bpffs);
  if (result == -EOPNOTSUPP) CANNOT_RUN("this kernel has no BPF tokens");
  ASSERT_EQ(result, 0);
  char place[] = "/tmp/bpfman-delegator-XXXXXX";
  ASSERT_NE(mkdtemp(place), nullptr);
  int mounted = fsmount(bpffs, FSMOUNT_CLOEXEC, 0);
  ASSERT_EQ(move_mount(mounted, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH), 0) << strerror(errno);
  std::ostringstream mounts;
  mounts << std::ifstream("/proc/self/mounts").rdbuf();
  EXPECT_NE(mounts.str().find("delegate_cmds=prog_load,delegate_maps=array,delegate_progs=xdp,delegate_attachs=xdp"), std::string::npos)
      << mounts.str();
  EXPECT_EQ(ask(xdp, bpffs), -EBUSY) << "it is created";
  umount2(place, MNT_DETACH);
  std::filesystem::remove(place);
  close(mounted), close(bpffs);
}

TEST_F(Delegator, RefusesWhatIsAboveTheCeiling) {
  int bpffs = fsopen("bpf", FSOPEN_CLOEXEC);
  for (auto member :
       {&wire::Delegation::commands, &wire::Delegation::mapTypes, &wire::Delegation::programTypes, &wire::Delegation::attachTypes})
    for (uint64_t bit : {1ull << 13, 1ull << 63}) {
      auto more = xdp;
      more.*member |= bit;
      EXPECT_EQ(ask(more, bpffs), -EPERM);
    }
  EXPECT_EQ(fsmount(bpffs, FSMOUNT_CLOEXEC, 0), -1) << "it was not created";
  close(bpffs);
}

TEST_F(Delegator, CreatesNoOtherFileSystem) {
  for (const char* other : {"tmpfs", "ramfs", "proc", "sysfs", "cgroup2", "overlay", "tracefs", "ext4", "9p", "fuse"}) {
    int context = fsopen(other, FSOPEN_CLOEXEC);
    if (context < 0) continue;
    EXPECT_EQ(ask(xdp, context), -EOPNOTSUPP) << other;
    EXPECT_EQ(fsmount(context, FSMOUNT_CLOEXEC, 0), -1) << other << " was not created";
    close(context);
  }
  int file = open("/dev/null", O_RDONLY);
  EXPECT_EQ(ask(xdp, file), -EOPNOTSUPP);
  close(file);
}

TEST_F(Delegator, EndsOnAMalformedJob) {
  int bpffs = fsopen("bpf", FSOPEN_CLOEXEC);
  EXPECT_EQ(ask(xdp, -1), ENDED) << "no descriptor";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 71) << status;
  EXPECT_EQ(ask(&xdp, sizeof xdp - 1, bpffs), ENDED);
  char longer[sizeof xdp + 1] = {};
  EXPECT_EQ(ask(longer, sizeof longer, bpffs), ENDED);
  close(bpffs);
}

}  // namespace
}  // namespace bpfman
