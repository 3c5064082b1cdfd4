#include "frontend/surroundings.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include <kj/debug.h>

namespace bpfman {
namespace {

// getpwnam_r and getgrnam_r alike: a buffer that grows until the entry fits.
template <typename Entry, typename Get, typename Member>
kj::Maybe<uint32_t> lookUp(const std::string& name, Get get, Member id) {
  std::vector<char> buffer(4096);
  for (;;) {
    Entry entry, *found = nullptr;
    int error = get(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < (16 << 20)) {
      buffer.resize(buffer.size() * 2);
      continue;
    }
    if (found == nullptr) return nullptr;
    return entry.*id;
  }
}

class ThisMachine final : public Surroundings {
 public:
  kj::Maybe<uid_t> user(const std::string& name) const override { return lookUp<passwd>(name, getpwnam_r, &passwd::pw_uid); }
  kj::Maybe<gid_t> group(const std::string& name) const override { return lookUp<::group>(name, getgrnam_r, &::group::gr_gid); }

  // Opening it can't block unless root's own policy names a file that does.
  FoundNamespace netns(const std::string& path) const override {
    auto held = std::make_shared<kj::AutoCloseFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (held->get() < 0) return {0, nullptr, errno};
    struct statfs system;
    struct stat status;
    KJ_SYSCALL(fstatfs(*held, &system));
    KJ_SYSCALL(fstat(*held, &status));
    if (system.f_type != NSFS_MAGIC || ioctl(*held, NS_GET_NSTYPE) != CLONE_NEWNET) return {0, nullptr, EINVAL};
    return {status.st_ino, std::move(held), 0};
  }

  std::vector<gid_t> groupsOf(const std::string& user) const override {
    auto primary = lookUp<passwd>(user, getpwnam_r, &passwd::pw_gid);
    KJ_IF_MAYBE (gid, primary) {
      std::vector<gid_t> gids(32);
      for (int count = gids.size(); getgrouplist(user.c_str(), *gid, gids.data(), &count) < 0 || size_t(count) != gids.size();)
        gids.resize(count);
      return gids;
    }
    return {};
  }
};

}  // namespace

const Surroundings& thisMachine() {
  static const ThisMachine machine;
  return machine;
}

}  // namespace bpfman
