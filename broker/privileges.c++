#include "broker/privileges.h"

#include <grp.h>
#include <kj/debug.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bpfman {

static void bound(uint64_t kept) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    KJ_REQUIRE((kept & bit(capability)) || prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, capability);
}

static void setCapabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half)
    data[half] = {uint32_t(effective >> 32 * half), uint32_t(permitted >> 32 * half), uint32_t(inheritable >> 32 * half)};
  KJ_SYSCALL(syscall(SYS_capset, &header, data));
}

void dropBroker() {
  KJ_SYSCALL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  KJ_SYSCALL(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0));  // uid 0 gives nothing at exec
  bound(BROKER_CAPABILITIES | WORKER_CAPABILITIES);
  setCapabilities(BROKER_CAPABILITIES | WORKER_CAPABILITIES, BROKER_CAPABILITIES, 0);
  KJ_SYSCALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

void become(Identity who, uint64_t capabilities) {
  KJ_REQUIRE(who.uid != 0 && who.gid != 0);
  bound(capabilities);
  KJ_SYSCALL(setgroups(0, nullptr));
  KJ_SYSCALL(setresgid(who.gid, who.gid, who.gid));
  KJ_SYSCALL(prctl(PR_SET_KEEPCAPS, capabilities != 0, 0, 0, 0));
  KJ_SYSCALL(setresuid(who.uid, who.uid, who.uid));
  setCapabilities(capabilities, capabilities, capabilities);
  for (int capability = 0; capability < 64; ++capability)
    KJ_REQUIRE(!(capabilities & bit(capability)) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0, capability);
  KJ_SYSCALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

}  // namespace bpfman
