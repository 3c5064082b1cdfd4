#include "worker/fuzz-script.h"

#include <sys/mman.h>
#include <sys/socket.h>

namespace bpfman {

using wire::NO_HANDLE;
using wire::Op;

bool FuzzMessage::send(int socket) const {
  iovec parts[2] = {{const_cast<wire::Header*>(&header), sizeof header}, {const_cast<uint8_t*>(body.data()), body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  msghdr message{nullptr, 0, parts, 2, nullptr, 0, 0};
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    *CMSG_FIRSTHDR(&message) = {CMSG_LEN(sizeof(int) * descriptors.size()), SOL_SOCKET, SCM_RIGHTS};
    for (size_t i = 0; i < descriptors.size(); ++i) {
      int number = descriptors[i].get();
      memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)) + i * sizeof number, &number, sizeof number);
    }
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool FuzzMessage::wellFramed() const {
  return header.size == sizeof header + body.size() && header.size <= wire::MAX_MESSAGE && descriptors.size() <= wire::MAX_DESCRIPTORS;
}

std::vector<uint8_t> FuzzMessage::blob() const {
  if (inMemfd) return memfdContent;
  return {body.begin() + std::min(fixedSize, body.size()), body.end()};
}

wire::Reply receiveReply(int socket, uint8_t* bytes, size_t size) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
  iovec part{bytes, size};
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
  ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  wire::Reply reply;
  FUZZ_REQUIRE(got >= ssize_t(sizeof reply), "no answer: %zd", got);
  memcpy(&reply, bytes, sizeof reply);
  size_t count = 0;
  if (cmsghdr* first = CMSG_FIRSTHDR(&message)) {
    count = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number;
      memcpy(&number, CMSG_DATA(first) + i * sizeof number, sizeof number);
      close(number);
    }
  }
  FUZZ_REQUIRE(reply.size == got && reply.descriptors == count && count <= 1, "an answer of %zd bytes says %u", got, reply.size);
  char more;
  FUZZ_REQUIRE(recv(socket, &more, 1, MSG_PEEK | MSG_DONTWAIT) <= 0, "two answers to one request");
  return reply;
}

wire::Ceiling fuzzedCeiling(FuzzInput& input) {
  wire::Ceiling ceiling = ceilingForTests();
  uint8_t how = input.byte();
  if (how & 1) ceiling.programTypes = input.take<uint64_t>();
  if (how & 2) input.fill(ceiling.attachTypes, sizeof ceiling.attachTypes);
  if (how & 4) ceiling.mapTypes = input.take<uint64_t>();
  if (how & 8) input.fill(ceiling.refusedHelpers, sizeof ceiling.refusedHelpers);
  if (how & 16) ceiling.maxMapBytes = input.take<uint64_t>() >> 14;  // the configuration's most
  if (how & 32) ceiling.maxMaps = 1 + input.below(wire::MAX_MAPS), ceiling.maxPrograms = 1 + input.below(wire::MAX_PROGRAMS);
  if (how & 64) ceiling.possibleCpus = 1 + input.below(8192);
  return ceiling;
}

void setMood(FuzzInput& input, RecordingBpf& kernel) {
  uint8_t mood = input.byte();
  kernel.mapInfo.type = input.byte() % 40;
  kernel.mapInfo.key_size = input.byte(), kernel.mapInfo.value_size = input.byte();
  if (mood & 1) kernel.answers[BPF_PROG_LOAD] = -EACCES;
  if (mood & 2) kernel.log = "R1 invalid mem access";
  if (mood & 4) kernel.answers[input.below(BPF_PROG_BIND_MAP + 1)] = -EPERM;
  if (mood & 8) kernel.names = {"p0", "m0", "m1"};
  if (mood & 16) kernel.failing["mkdir staging/5"] = -EEXIST;
  if (mood & 32) kernel.failing["rename staging/5 loads/5"] = -EEXIST;
  if (mood & 64) kernel.failing["pin staging/5/p0"] = -ENOSPC;
}

void attach(FuzzInput& input, FuzzMessage& message, size_t most) {
  size_t count = input.below(most + 1);
  for (size_t i = 0; i < count; ++i) {
    uint8_t how = input.byte();
    Fd descriptor(how & 1 ? ::open(how & 2 ? "/dev/null" : "/dev/zero", O_RDONLY | O_CLOEXEC)
                          : memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!(how & 1)) {
      FUZZ_REQUIRE(ftruncate(descriptor.get(), input.byte()) == 0);
      fcntl(descriptor.get(), F_ADD_SEALS, how >> 2 & 0xf);
    }
    message.descriptors.push_back(std::move(descriptor));
  }
}

void spoil(FuzzInput& input, FuzzMessage& message) {
  uint8_t how = input.byte();
  if (how & 1 && !message.body.empty())
    for (size_t i = 0; i < 1 + how / 64u; ++i) message.body[input.take<uint16_t>() % message.body.size()] = input.byte();
  if (how & 2) message.body.resize(input.take<uint32_t>() % (wire::MAX_MESSAGE + 16), input.byte());
  message.header.size = sizeof message.header + message.body.size();
  if (how & 4) message.header.size = input.take<uint32_t>();
  if (how & 8) message.header.op = Op(input.byte());
  if (how & 16) message.byLoader = !message.byLoader;
  if (how & 32) attach(input, message, 5);
}

}  // namespace bpfman
