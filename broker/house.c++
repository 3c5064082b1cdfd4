#include "broker/house.h"

#include <fcntl.h>
#include <grp.h>
#include <kj/debug.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace bpfman {

namespace {

Identity identityOf(const char* name, uid_t otherwise) {
  if (passwd* user = getpwnam(name)) {
    if (user->pw_uid == 0 || user->pw_gid == 0) KJ_FAIL_REQUIRE(kj::str("user ", name, " is root, or in its group"));
    return {user->pw_uid, user->pw_gid};
  }
  if (passwd* other = getpwuid(otherwise))
    KJ_FAIL_REQUIRE(kj::str("uid ", otherwise, " belongs to ", other->pw_name, ": choose another users.base_uid, or add the user ", name));
  return {otherwise, otherwise};
}

gid_t socketGroup(kj::StringPtr wanted) {
  if (group* found = getgrnam(wanted.size() ? wanted.cStr() : "bpfman")) return found->gr_gid;
  if (wanted.size()) KJ_FAIL_REQUIRE(kj::str("there is no group \"", wanted, "\" (users.socket_group)"));
  return 0;
}

// The lock goes when we go, however that happens: children close it at exec.
kj::AutoCloseFd lockAgainstOthers(kj::StringPtr runtimeDir) {
  auto lock = openFile(kj::str(runtimeDir, "/lock"), O_RDWR | O_CREAT | O_NOFOLLOW);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    (void)!pread(lock.get(), pid, sizeof pid - 1, 0);
    KJ_FAIL_REQUIRE(kj::str("another bpfmand runs in ", runtimeDir, ": pid ", static_cast<const char*>(pid)));
  }
  kj::String pid = kj::str(getpid());
  KJ_SYSCALL(ftruncate(lock.get(), 0));
  KJ_SYSCALL(pwrite(lock.get(), pid.begin(), pid.size(), 0));
  return lock;
}

kj::AutoCloseFd sealed(const char* name, const void* content, ssize_t size) {
  kj::AutoCloseFd memfd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  KJ_REQUIRE(pwrite(memfd.get(), content, size, 0) == size, name, strerror(errno));
  KJ_SYSCALL(fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  return memfd;
}

template <size_t N>
void put(char (&field)[N], kj::StringPtr text) {
  KJ_REQUIRE(text.size() < N, "path is too long", text);
  memcpy(field, text.begin(), text.size());
}

}  // namespace

void House::readPolicy() {
  int descriptor = open(policyPath.cStr(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0 && errno != ENOENT) KJ_FAIL_REQUIRE(kj::str(policyPath, ": ", strerror(errno)));
  kj::AutoCloseFd file(descriptor);
  std::string text(wire::POLICY_BYTES + 1, '\0');
  ssize_t size = 0;
  if (descriptor >= 0) { KJ_SYSCALL(size = read(descriptor, text.data(), text.size()), policyPath); }
  policy = sealed("policy", text.data(), size);
}

void House::keepPolicy() {
  keptPolicy = kj::AutoCloseFd(fcntl(policy.get(), F_DUPFD_CLOEXEC, 0));
  // A socket that is gone is no mistake: nobody can connect.
  if (ownSocket) (void)!fchmodat(AT_FDCWD, socketPath.cStr(), lseek(policy.get(), 0, SEEK_END) > 0 ? 0666 : 0660, 0);
}

House furnish(Options options) {
  House house;
  auto activated = takeActivatedSocket();
  house.null = openFile("/dev/null", O_RDWR);
  if (const char* socket = getenv("NOTIFY_SOCKET")) house.notifySocket = kj::str(socket);
  house.frontend = identityOf("bpfman", options.baseUid);
  house.worker = identityOf("bpfman-worker", options.baseUid + 1);
  house.loader = identityOf("bpfman-loader", options.baseUid + 2);
  gid_t group = socketGroup(options.socketGroup);

  if (options.childrenDir.size() == 0) options.childrenDir = kj::str(std::filesystem::read_symlink("/proc/self/exe").parent_path().c_str());
  house.frontendBinary = openFile(kj::str(options.childrenDir, "/bpfman-frontend"), O_PATH);
  house.workerBinary = openFile(kj::str(options.childrenDir, "/bpfman-worker"), O_PATH);
  house.loaderBinary = openFile(kj::str(options.childrenDir, "/bpfman-loader"), O_PATH);

  ownDirectory(options.runtimeDir, {0, 0}, 0755);
  options.runtimeDir = kj::str(std::filesystem::canonical(options.runtimeDir.cStr()).c_str());  // as mountinfo has it
  if (strpbrk(options.runtimeDir.cStr(), " \t\n\\")) KJ_FAIL_REQUIRE("the runtime directory's path may have no blanks and no backslash");
  house.lock = lockAgainstOthers(options.runtimeDir);
  house.bpffs = mountBpffs(kj::str(options.runtimeDir, "/fs"), house.worker);
  house.programsDir = ownDirectory(kj::str(options.runtimeDir, "/programs"), house.frontend, 0755);
  house.stateDir = ownDirectory(options.stateDir, house.frontend, 0700);

  house.tracefs = openTracefs();
  house.cgroups = openCgroups();
  house.xdp = openXdp(house.worker);
  house.hostNetwork = openFile("/proc/self/ns/net", O_RDONLY);
  options.ceiling.possibleCpus = sysconf(_SC_NPROCESSORS_CONF);  // glibc reads the kernel's list of possible ones
  house.ceiling = sealed("ceiling", &options.ceiling, sizeof options.ceiling);
  put(options.frontend.runtimeDir, options.runtimeDir);
  put(options.frontend.stateDir, options.stateDir);
  put(options.frontend.policyPath, options.policyPath);
  options.frontend.ceiling = options.ceiling;
  house.frontendOptions = sealed("options", &options.frontend, sizeof options.frontend);

  house.socketPath = kj::mv(options.socketPath);
  house.policyPath = kj::mv(options.policyPath);
  house.ownSocket = activated == nullptr;
  house.listeners.push_back(house.ownSocket ? listenAt(house.socketPath, group, 0660) : kj::mv(KJ_ASSERT_NONNULL(activated)));
  house.listeners.push_back(listenAt(kj::str(options.runtimeDir, "/fd.sock"), 0, 0666));
  ownDirectory(kj::str(options.runtimeDir, "/clients"), {0, 0}, 0755);
  for (auto& client : options.frontend.clients)
    if (client.name[0]) house.listeners.push_back(listenAt(kj::str(options.runtimeDir, "/clients/", client.name + 0, ".sock"), 0, 0666));
  house.readPolicy();
  return house;
}

}  // namespace bpfman
