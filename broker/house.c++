#include "broker/house.h"

#include <fcntl.h>
#include <grp.h>
#include <kj/debug.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace bpfman {

static Identity identityOf(const char* name, uid_t otherwise) {
  if (passwd* user = getpwnam(name)) {
    if (user->pw_uid == 0 || user->pw_gid == 0) KJ_FAIL_REQUIRE(kj::str("user ", name, " is root, or in its group"));
    return {user->pw_uid, user->pw_gid};
  }
  if (passwd* other = getpwuid(otherwise))
    KJ_FAIL_REQUIRE(kj::str("uid ", otherwise, " belongs to ", other->pw_name, ": choose another users.base_uid, or add the user ", name));
  return {otherwise, otherwise};
}

static gid_t socketGroup(kj::StringPtr wanted) {
  if (group* found = getgrnam(wanted.size() ? wanted.cStr() : "bpfman")) return found->gr_gid;
  if (wanted.size()) KJ_FAIL_REQUIRE(kj::str("there is no group \"", wanted, "\" (users.socket_group)"));
  return 0;
}

// The lock is this process's, not its children's, and goes when it goes, however that happens.
static kj::AutoCloseFd lockAgainstOthers(kj::StringPtr runtimeDir) {
  auto file = openFile(kj::str(runtimeDir, "/lock"), O_RDWR | O_CREAT | O_NOFOLLOW);
  using Lock = struct flock;
  Lock lock{F_WRLCK, SEEK_SET, 0, 0, 0};
  if (fcntl(file.get(), F_SETLK, &lock) == 0) return file;
  KJ_SYSCALL(fcntl(file.get(), F_GETLK, &lock));
  KJ_FAIL_REQUIRE(kj::str("another bpfmand runs in ", runtimeDir, ": pid ", lock.l_pid));
}

static kj::AutoCloseFd sealed(const char* name, const void* content, ssize_t size) {
  kj::AutoCloseFd memfd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  KJ_REQUIRE(pwrite(memfd.get(), content, size, 0) == size, name, strerror(errno));
  KJ_SYSCALL(fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  return memfd;
}

static void put(char (&field)[1024], kj::StringPtr text) {
  KJ_REQUIRE(text.size() < sizeof field, "path is too long", text);
  memcpy(field, text.begin(), text.size());
}

static ProbeType probeType(kj::StringPtr name) {
  auto directory = kj::str("/sys/bus/event_source/devices/", name);
  ProbeType type;
  std::ifstream(kj::str(directory, "/type").cStr()) >> type.number;
  std::ifstream(kj::str(directory, "/format/retprobe").cStr()).ignore(strlen("config:")) >> type.returnBit;
  return type;
}

void House::readPolicy() {
  std::string text(wire::POLICY_BYTES + 1, '\0');
  ssize_t size;
  bool there = access(options.policyPath.cStr(), F_OK) == 0 || errno != ENOENT;
  kj::AutoCloseFd file = openFile(there ? options.policyPath.asPtr() : "/dev/null"_kj, O_RDONLY | O_NONBLOCK);
  KJ_SYSCALL(size = read(file.get(), text.data(), text.size()), options.policyPath);
  policy = sealed("policy", text.data(), size);
}

void House::keepPolicy() {
  keptPolicy = kj::AutoCloseFd(fcntl(policy.get(), F_DUPFD_CLOEXEC, 0));
  // A socket that is gone is no mistake: nobody can connect.
  if (ownSocket) (void)!fchmodat(AT_FDCWD, options.socketPath.cStr(), lseek(policy.get(), 0, SEEK_END) > 0 ? 0666 : 0660, 0);
}

void furnish(House& house) {
  Options& options = house.options;
  house.null = openFile("/dev/null", O_RDWR);
  if (options.childrenDir.size() == 0) options.childrenDir = kj::str(std::filesystem::read_symlink("/proc/self/exe").parent_path().c_str());
  for (uid_t uid = options.baseUid; auto& child : house.children) {
    child.who = identityOf(child.user, uid++);
    child.binary = openFile(kj::str(options.childrenDir, '/', child.name), O_PATH);
  }
  auto& [frontend, worker, loader, delegator] = house.children;

  ownDirectory(options.runtimeDir, {0, 0}, 0755);
  options.runtimeDir = kj::str(std::filesystem::canonical(options.runtimeDir.cStr()).c_str());  // as the table of mounts has it
  house.lock = lockAgainstOthers(options.runtimeDir);
  house.bpffs = mountBpffs(kj::str(options.runtimeDir, "/fs"), worker.who);
  worker.root = house.bpffs.get();
  house.programsDir = ownDirectory(kj::str(options.runtimeDir, "/programs"), frontend.who, 0755);
  house.stateDir = ownDirectory(options.stateDir, frontend.who, 0700);

  house.tracefs = openTracefs();
  house.probed = kj::AutoCloseFd(openat(house.tracefs.get(), "available_filter_functions", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  house.cgroups = openCgroups();
  house.xdp = openXdp(worker.who);
  worker.xdp = house.xdp.get();
  house.uprobe = probeType("uprobe"), house.kprobe = probeType("kprobe");
  house.hostNetwork = openFile("/proc/self/ns/net", O_RDONLY);
  options.ceiling.possibleCpus = sysconf(_SC_NPROCESSORS_CONF);  // glibc reads the kernel's list of possible ones
  house.ceiling = sealed("ceiling", &options.ceiling, sizeof options.ceiling);
  put(options.frontend.runtimeDir, options.runtimeDir);
  put(options.frontend.stateDir, options.stateDir);
  put(options.frontend.policyPath, options.policyPath);
  options.frontend.ceiling = options.ceiling;
  house.frontendOptions = sealed("options", &options.frontend, sizeof options.frontend);

  auto activated = takeActivatedSocket();
  house.ownSocket = activated == nullptr;
  house.listeners.push_back(house.ownSocket ? listenAt(options.socketPath, socketGroup(options.socketGroup), 0660)
                                            : kj::mv(KJ_ASSERT_NONNULL(activated)));
  house.listeners.push_back(listenAt(kj::str(options.runtimeDir, "/fd.sock"), 0, 0666));
  ownDirectory(kj::str(options.runtimeDir, "/clients"), {0, 0}, 0755);
  for (auto& client : options.frontend.clients)
    if (client.name[0]) house.listeners.push_back(listenAt(kj::str(options.runtimeDir, "/clients/", client.name + 0, ".sock"), 0, 0666));
  house.readPolicy();
}

}  // namespace bpfman
