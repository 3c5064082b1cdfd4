#include "loader/packets.h"
#include "schema/sealed.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kj/debug.h>

namespace bpfman {

namespace {
constexpr size_t MAX_DESCRIPTORS = 4, MAX_PARTS = 8;
}

kj::AutoCloseFd newMemfd(const char* name) {
  int fd;
  KJ_SYSCALL(fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return kj::AutoCloseFd(fd);
}

kj::AutoCloseFd sealedMemfd(const char* name, std::initializer_list<std::span<const unsigned char>> parts) {
  kj::AutoCloseFd memfd = newMemfd(name);
  for (auto part : parts) kj::FdOutputStream(memfd.get()).write(part.data(), part.size());
  wire::seal(memfd);
  return memfd;
}

void sendPacket(int socket, std::initializer_list<std::span<const unsigned char>> parts, kj::Maybe<int> descriptor) {
  KJ_REQUIRE(parts.size() <= MAX_PARTS);
  iovec vectors[MAX_PARTS];
  size_t count = 0;
  for (auto part : parts) vectors[count++] = {const_cast<unsigned char*>(part.data()), part.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  KJ_IF_MAYBE (fd, descriptor) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof *fd);
    memcpy(CMSG_DATA(header), fd, sizeof *fd);
  }
  KJ_SYSCALL(sendmsg(socket, &message, MSG_NOSIGNAL));
}

ReceivedPacket receivePacket(int socket, std::span<unsigned char> buffer) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size;
  KJ_SYSCALL(size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC));

  ReceivedPacket packet;
  packet.size = size;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int fds[MAX_DESCRIPTORS];
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    for (size_t i = 0; i < count; ++i) packet.descriptors.emplace_back(fds[i]);
  }
  KJ_REQUIRE(!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)), "oversized packet");
  return packet;
}

}  // namespace bpfman
