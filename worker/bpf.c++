#include "worker/bpf.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace bpfman {

Fd Bpf::open(const char* path, uint32_t fileFlags) {
  bpf_attr attr{};
  attr.pathname = toKernel(path);
  attr.file_flags = fileFlags;
  return Fd(call(BPF_OBJ_GET, attr));
}

int Bpf::pin(const Fd& object, const char* path) {
  bpf_attr attr{};
  attr.pathname = toKernel(path);
  attr.bpf_fd = object.get();
  return call(BPF_OBJ_PIN, attr);
}

int Bpf::info(const Fd& object, void* info, uint32_t size) {
  bpf_attr attr{};
  attr.info = {static_cast<uint32_t>(object.get()), size, toKernel(info)};
  return call(BPF_OBJ_GET_INFO_BY_FD, attr);
}

static int result(int value) { return value < 0 ? -errno : value; }

long RealBpf::call(int command, bpf_attr& attr, uint32_t size) {
  long value = syscall(__NR_bpf, command, &attr, size);
  return value < 0 ? -errno : value;
}

// A socket of its own each time, so that nothing else can be in it: the kernel has answered when write() returns. Whoever opened a socket
// must have CAP_NET_ADMIN too, so one that the broker opened would not do.
int RealBpf::route(const void* message, uint32_t size) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr head;
    nlmsgerr said;  // then the request, which is cut off
  } answer{};
  if (!socket || write(socket.get(), message, size) < 0 || recv(socket.get(), &answer, sizeof answer, MSG_DONTWAIT) < 0) return -errno;
  return answer.head.nlmsg_type == NLMSG_ERROR ? answer.said.error : -EBADMSG;
}

int RealBpf::makeDirectory(const char* path) { return result(mkdir(path, 0755)); }
int RealBpf::removeDirectory(const char* path) { return result(rmdir(path)); }
int RealBpf::unlink(const char* path) { return result(::unlink(path)); }
int RealBpf::renameNew(const char* from, const char* to) { return result(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)); }

int RealBpf::list(const char* path, std::vector<std::string>& names) {
  DIR* directory = opendir(path);
  if (!directory) return -errno;
  while (dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(directory);
  return 0;
}

}  // namespace bpfman
