// bpfman-delegator: creates one bpffs, in a client's user namespace, with what is delegated to it. Setting that needs CAP_SYS_ADMIN, and
// the context is a client's, who may keep whoever touches it waiting: so it is a process of its own, with that capability and nothing else,
// whom nobody waits for. Descriptors: schema/descriptors.h.
#include "schema/ceiling.h"
#include "schema/delegator.h"
#include "schema/descriptors.h"
#include "seccomp/confine.h"
#include "seccomp/landlock.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bpfman {
namespace {

constexpr unsigned PATIENCE = 5;  // seconds, until the kernel ends it

int receiveContext(wire::Delegation& wish) {
  iovec part{&wish, sizeof wish};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
  ssize_t size = recvmsg(wire::fd::control, &message, MSG_CMSG_CLOEXEC);
  if (size == 0) _exit(0);  // nobody wants it any more
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  errno = EBADMSG;
  requireConfined(size == sizeof wish && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && header && header->cmsg_type == SCM_RIGHTS &&
                      header->cmsg_len == CMSG_LEN(sizeof(int)),
                  "malformed job");
  int context = -1;
  if (header) memcpy(&context, CMSG_DATA(header), sizeof context);
  return context;
}

// A bpffs refuses a mask that is none, and takes one that is. What takes both is older than tokens, or no bpffs; what refuses both stays as
// it was, not created: whatever the client prepared there, nobody with privilege carries it out.
int delegate(const wire::Delegation& wish, const wire::Ceiling& ceiling, int context) {
  const struct {
    const char* key;
    uint64_t mask, most;
  } masks[] = {{"delegate_cmds", wish.commands, wire::TOKEN_COMMANDS},
               {"delegate_maps", wish.mapTypes, ceiling.mapTypes},
               {"delegate_progs", wish.programTypes, ceiling.programTypes},
               {"delegate_attachs", wish.attachTypes, ceiling.attachTypes[0]}};
  auto set = [&](const char* key, const char* value) { return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) == 0; };
  for (auto& each : masks)
    if (each.mask & ~each.most) return -EPERM;
  if (set(masks[0].key, "nothing") || errno != EINVAL) return -EOPNOTSUPP;
  for (auto& each : masks) {
    char number[32];
    snprintf(number, sizeof number, "%#llx", static_cast<unsigned long long>(each.mask));
    if (!set(each.key, number)) return -EOPNOTSUPP;
  }
  return fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0 ? 0 : -errno;
}

}  // namespace
}  // namespace bpfman

int main() {
  using namespace bpfman;
  wire::Ceiling ceiling;
  requireConfined(pread(wire::fd::delegator::ceiling, &ceiling, sizeof ceiling, 0) == sizeof ceiling, "the ceiling");
  close(wire::fd::delegator::ceiling);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);  // whatever it would execute starts with nothing
  restrictFiles(nullptr, 0);
  noCoreDumps();
  enterPolicy(seccomp::DELEGATOR_POLICY);

  wire::Delegation wish;
  int context = receiveContext(wish);
  alarm(PATIENCE);
  wire::Delegated answer{delegate(wish, ceiling, context)};
  (void)!write(wire::fd::control, &answer, sizeof answer);
  _exit(0);
}
