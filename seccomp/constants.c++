// The names that policy files may use, with the values that the kernel's headers give them.
#include "seccomp/policy.h"

#include <asm/ioctls.h>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/futex.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <linux/netlink.h>

namespace bpfman::seccomp {

// clang-format off
#define NAMED(constant) \
  { #constant, static_cast<uint64_t>(constant) }
// clang-format on

const std::map<std::string, uint64_t>& constants() {
  static const std::map<std::string, uint64_t> all = {
      NAMED(ENOSYS),
      NAMED(EPERM),
      NAMED(ENOENT),
      NAMED(EACCES),
      NAMED(ENOTTY),
      NAMED(EINVAL),
      NAMED(EAFNOSUPPORT),
      NAMED(FSCONFIG_SET_STRING),
      NAMED(FSCONFIG_CMD_CREATE),
      NAMED(BPF_MAP_CREATE),
      NAMED(BPF_MAP_LOOKUP_ELEM),
      NAMED(BPF_MAP_UPDATE_ELEM),
      NAMED(BPF_MAP_DELETE_ELEM),
      NAMED(BPF_MAP_GET_NEXT_KEY),
      NAMED(BPF_PROG_LOAD),
      NAMED(BPF_OBJ_PIN),
      NAMED(BPF_OBJ_GET),
      NAMED(BPF_PROG_ATTACH),
      NAMED(BPF_PROG_DETACH),
      NAMED(BPF_PROG_TEST_RUN),
      NAMED(BPF_PROG_GET_FD_BY_ID),
      NAMED(BPF_BTF_GET_FD_BY_ID),
      NAMED(BPF_BTF_GET_NEXT_ID),
      NAMED(BPF_OBJ_GET_INFO_BY_FD),
      NAMED(BPF_PROG_QUERY),
      NAMED(BPF_RAW_TRACEPOINT_OPEN),
      NAMED(BPF_BTF_LOAD),
      NAMED(BPF_MAP_FREEZE),
      NAMED(BPF_LINK_CREATE),
      NAMED(BPF_LINK_UPDATE),
      NAMED(BPF_LINK_DETACH),
      NAMED(BPF_ENABLE_STATS),
      NAMED(BPF_ITER_CREATE),
      NAMED(BPF_PROG_BIND_MAP),
      NAMED(OPEN_TREE_CLONE),
      NAMED(OPEN_TREE_CLOEXEC),
      NAMED(MOVE_MOUNT_F_EMPTY_PATH),
      NAMED(CLONE_VM),
      NAMED(CLONE_FS),
      NAMED(CLONE_FILES),
      NAMED(CLONE_SIGHAND),
      NAMED(CLONE_THREAD),
      NAMED(CLONE_SYSVSEM),
      NAMED(CLONE_SETTLS),
      NAMED(CLONE_PARENT_SETTID),
      NAMED(CLONE_CHILD_CLEARTID),
      NAMED(CLONE_CHILD_SETTID),
      NAMED(CLONE_NEWNS),
      NAMED(CLONE_NEWNET),
      NAMED(CLONE_PIDFD),
      NAMED(SIGCHLD),
      NAMED(SIGKILL),
      NAMED(SIGTERM),
      NAMED(SIGABRT),
      NAMED(PROT_READ),
      NAMED(PROT_WRITE),
      NAMED(PROT_EXEC),
      NAMED(F_DUPFD_CLOEXEC),
      NAMED(F_GETFD),
      NAMED(F_SETFD),
      NAMED(F_GETFL),
      NAMED(F_SETFL),
      NAMED(F_GETLK),
      NAMED(F_SETLK),
      NAMED(F_SETLKW),
      NAMED(F_OFD_GETLK),
      NAMED(F_OFD_SETLK),
      NAMED(F_OFD_SETLKW),
      NAMED(F_DUPFD),
      NAMED(F_GET_SEALS),
      NAMED(F_ADD_SEALS),
      NAMED(O_ACCMODE),
      NAMED(O_RDONLY),
      NAMED(O_WRONLY),
      NAMED(O_RDWR),
      NAMED(O_CREAT),
      NAMED(O_TRUNC),
      NAMED(AT_EMPTY_PATH),
      NAMED(AF_UNIX),
      NAMED(AF_NETLINK),
      NAMED(SOCK_STREAM),
      NAMED(SOCK_DGRAM),
      NAMED(SOCK_RAW),
      NAMED(SOCK_SEQPACKET),
      NAMED(SOCK_CLOEXEC),
      NAMED(SOCK_NONBLOCK),
      NAMED(NETLINK_ROUTE),
      NAMED(SOL_SOCKET),
      NAMED(SOL_NETLINK),
      NAMED(NETLINK_ADD_MEMBERSHIP),
      NAMED(MS_REC),
      NAMED(MS_PRIVATE),
      NAMED(MS_SLAVE),
      NAMED(MNT_DETACH),
      NAMED(PR_SET_PDEATHSIG),
      NAMED(PR_GET_NO_NEW_PRIVS),
      NAMED(PR_SET_NO_NEW_PRIVS),
      NAMED(PR_SET_NAME),
      NAMED(PR_SET_DUMPABLE),
      NAMED(PR_CAP_AMBIENT),
      NAMED(PR_CAPBSET_DROP),
      NAMED(PR_CAPBSET_READ),
      NAMED(PR_SET_VMA),
      NAMED(PR_SET_KEEPCAPS),
      NAMED(PR_SET_SECUREBITS),
      NAMED(PR_CAP_AMBIENT_RAISE),
      NAMED(PR_CAP_AMBIENT_CLEAR_ALL),
      NAMED(SECCOMP_SET_MODE_FILTER),
      NAMED(PERF_FLAG_FD_CLOEXEC),
      NAMED(MADV_DONTNEED),
      NAMED(MADV_FREE),
      NAMED(TCGETS),
      NAMED(FIONREAD),
      NAMED(FIONBIO),
      NAMED(FIOCLEX),
      NAMED(NS_GET_USERNS),
      NAMED(NS_GET_NSTYPE),
      NAMED(SIOCOUTQ),
      NAMED(NS_GET_OWNER_UID),
      {"PIDFD_GET_INFO_FIRST", _IOC(_IOC_READ | _IOC_WRITE, 0xFF, 11, 64)},  // from 6.13; headers lack it
  };
  return all;
}

}  // namespace bpfman::seccomp
