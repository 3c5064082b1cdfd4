#include "worker/channel.h"

#include <cerrno>
#include <sys/socket.h>

namespace bpfman {

bool Channel::receive(Request& request) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::MAX_DESCRIPTORS)];
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};

  ssize_t size = recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);  // no signal has a handler here: nothing interrupts
  if (size == 0 || (size < 0 && errno == ECONNRESET)) return false;
  if (size < 0) die("receive: %s", strerror(errno));

  request.descriptorCount = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) die("unexpected control message");
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (request.descriptorCount + count > wire::MAX_DESCRIPTORS) die("too many descriptors");
    for (size_t i = 0; i < count; ++i) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
      request.descriptors[request.descriptorCount++] = Fd(descriptor);
    }
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) die("oversized message");

  wire::Header header;
  if (static_cast<size_t>(size) < sizeof header) die("short message");
  memcpy(&header, buffer.data(), sizeof header);
  if (header.size != static_cast<size_t>(size)) die("message of %zd bytes says it has %u", size, header.size);
  request.op = header.op;
  request.body.assign(buffer.data() + sizeof header, buffer.data() + size);
  return true;
}

void Channel::send(const Answer& answer) {
  int descriptor = answer.descriptor.get();
  wire::Reply reply{answer.result, static_cast<uint32_t>(sizeof(wire::Reply) + answer.tail.size()), descriptor >= 0};
  if (reply.size > wire::MAX_MESSAGE) die("answer of %u bytes", reply.size);
  iovec parts[2] = {{&reply, sizeof reply}, {const_cast<uint8_t*>(answer.tail.data()), answer.tail.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{nullptr, 0, parts, 2, control, reply.descriptors ? sizeof control : 0, 0};
  if (reply.descriptors) {
    *CMSG_FIRSTHDR(&message) = {CMSG_LEN(sizeof descriptor), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &descriptor, sizeof descriptor);
  }
  if (sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) die("send: %s", strerror(errno));
}

}  // namespace bpfman
