#include "frontend/channel.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>

#include <kj/debug.h>

#include "schema/worker.h"

namespace bpfman {

namespace {
constexpr size_t MAX_DESCRIPTORS = 4;
}

Channel::Channel(kj::UnixEventPort& port, kj::AutoCloseFd socket, kj::StringPtr peer)
    : socket(kj::mv(socket)),
      peer(peer),
      observer(port, this->socket, kj::UnixEventPort::FdObserver::OBSERVE_READ_WRITE),
      buffer(kj::heapArray<kj::byte>(wire::MAX_MESSAGE)),
      tasks(*this) {
  int flags;
  KJ_SYSCALL(flags = fcntl(this->socket, F_GETFL));
  KJ_SYSCALL(fcntl(this->socket, F_SETFL, flags | O_NONBLOCK));
  tasks.add(readAll());
}

Channel::~Channel() noexcept(false) { fail("closed"); }

kj::Promise<Packet> Channel::call(kj::ArrayPtr<const kj::byte> message, kj::ArrayPtr<const int> descriptors) {
  if (broken) return KJ_EXCEPTION(DISCONNECTED, "lost", peer);
  auto promise = kj::newPromiseAndFulfiller<Packet>();
  if (!outgoing.empty() || !send(message, descriptors)) {
    if (broken) return KJ_EXCEPTION(DISCONNECTED, "lost", peer);
    Outgoing later{kj::heapArray(message), {}};
    for (int descriptor : descriptors) {
      int copy;
      KJ_SYSCALL(copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
      later.descriptors.add(kj::AutoCloseFd(copy));
    }
    outgoing.push_back(kj::mv(later));
    if (outgoing.size() == 1) tasks.add(flush());
  }
  waiting.push_back(kj::mv(promise.fulfiller));
  return kj::mv(promise.promise);
}

bool Channel::send(kj::ArrayPtr<const kj::byte> bytes, kj::ArrayPtr<const int> descriptors) {
  KJ_REQUIRE(descriptors.size() <= MAX_DESCRIPTORS);
  iovec part{const_cast<kj::byte*>(bytes.begin()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors.size() > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    memcpy(CMSG_DATA(header), descriptors.begin(), sizeof(int) * descriptors.size());
  }
  ssize_t sent;
  KJ_NONBLOCKING_SYSCALL(sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT)) {
    fail(strerror(errno));
    return false;
  }
  return sent >= 0;
}

kj::Promise<void> Channel::flush() {
  while (!outgoing.empty()) {
    Outgoing& first = outgoing.front();
    auto descriptors = KJ_MAP(d, first.descriptors) { return d.get(); };
    if (!send(first.bytes, descriptors)) {
      if (broken) return kj::READY_NOW;
      return observer.whenBecomesWritable().then([this]() { return flush(); });
    }
    outgoing.pop_front();
  }
  return kj::READY_NOW;
}

kj::Promise<void> Channel::readAll() {
  for (;;) {
    iovec part{buffer.begin(), buffer.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t size;
    KJ_NONBLOCKING_SYSCALL(size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) {
      fail(strerror(errno));
      return kj::READY_NOW;
    }
    if (size < 0) return observer.whenBecomesReadable().then([this]() { return readAll(); });

    Packet packet;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int descriptor;
        memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
        packet.descriptors.add(kj::AutoCloseFd(descriptor));
      }
    }
    bool ended = size == 0 && packet.descriptors.empty();  // an empty packet with a descriptor is an answer too
    if (ended || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || waiting.empty()) {
      fail(ended ? "it ended" : "it sent what nobody asked for");
      return kj::READY_NOW;
    }
    packet.bytes = kj::heapArray<kj::byte>(buffer.slice(0, size));
    auto fulfiller = kj::mv(waiting.front());
    waiting.pop_front();
    fulfiller->fulfill(kj::mv(packet));
  }
}

void Channel::fail(kj::StringPtr why) {
  broken = true;
  outgoing.clear();
  auto orphans = kj::mv(waiting);
  waiting.clear();
  for (auto& fulfiller : orphans) fulfiller->reject(KJ_EXCEPTION(DISCONNECTED, "lost", peer, why));
}

}  // namespace bpfman
