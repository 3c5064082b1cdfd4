// What a process is like once it has closed itself in; each test in a child.
#include "seccomp/confine.h"
#include "seccomp/landlock.h"
#include "tests/cannot-run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>

namespace bpfman {
namespace {

int inChild(std::function<int()> body) {
  pid_t child = fork();
  if (child == 0) _exit(body());
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int landlockVersion() { return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION); }

TEST(Confine, FilesOnlyWhereAllowed) {
  if (landlockVersion() < 1) CANNOT_RUN("this kernel has no Landlock");
  char name[] = "/tmp/bpfman-confine-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  EXPECT_EQ(inChild([&] {
              prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
              int directory = open(name, O_PATH | O_DIRECTORY), file;
              FileRule rule{directory, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR};
              restrictFiles(&rule, 1);
              if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES) return 1;
              if (open("/", O_RDONLY | O_DIRECTORY) >= 0) return 2;
              if (openat(directory, "new", O_CREAT | O_WRONLY, 0600) >= 0) return 3;
              if ((file = openat(directory, ".", O_RDONLY | O_DIRECTORY)) < 0) return 4;
              if (landlockVersion() >= 4) {
                sockaddr_in address{};
                address.sin_family = AF_INET;
                int tcp = socket(AF_INET, SOCK_STREAM, 0);
                if (tcp >= 0 && (connect(tcp, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 || errno != EACCES)) return 5;
              }
              if (landlockVersion() >= 6 && (kill(getppid(), 0) == 0 || errno != EPERM)) return 6;
              return 0;
            }),
            0);
  rmdir(name);
}

TEST(Confine, NoCoreDumps) {
  EXPECT_EQ(inChild([] {
              noCoreDumps();
              rlimit limit;
              getrlimit(RLIMIT_CORE, &limit);
              return limit.rlim_max == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 1;
            }),
            0);
}

TEST(Confine, PolicyWithoutNoNewPrivsIsRefused) {
  EXPECT_EQ(inChild([] {
              enterPolicy(seccomp::LOADER_POLICY);
              return 0;
            }),
            71);
}

TEST(Confine, PolicyHolds) {
  EXPECT_EQ(inChild([] {
              prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
              enterPolicy(seccomp::LOADER_POLICY);
              syscall(SYS_ptrace, 0, 0, 0, 0);
              return 0;
            }),
            -SIGSYS);
}

}  // namespace
}  // namespace bpfman
