// try-syscall ENTRY NUMBER [ARGUMENT...]: installs the filter that it reads from standard input and makes one call; exits with its errno.
// ENTRY: 64 (ordinary), x32, 80 (int $0x80). C, static, never sanitised: after the filter nothing else may run.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter filter[BPF_MAXINSNS];

int main(int argc, char** argv) {
  unsigned long a[7] = {0};
  for (int i = 2; i < argc && i < 9; ++i) a[i - 2] = strtoul(argv[i], NULL, 0);

  size_t size = 0;
  for (ssize_t got; (got = read(0, (char*)filter + size, sizeof filter - size)) > 0; size += got) {}
  struct sock_fprog program = {size / sizeof *filter, filter};
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 200;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return 201;

  long result;
  if (!strcmp(argv[1], "80")) {
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]) : "memory", "r8", "r9", "r10", "r11");
    if (result < 0) errno = -result;
  } else {
    result = syscall(a[0] | (strcmp(argv[1], "x32") ? 0 : 0x40000000), a[1], a[2], a[3], a[4], a[5], a[6]);
  }
  syscall(SYS_exit_group, result < 0 ? errno : 0);
}
