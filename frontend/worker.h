// The frontend's side of schema/worker.h: one call for each request; places in the bpffs by name.
#pragma once

#include <cstring>

#include "frontend/channel.h"
#include "schema/worker.h"

namespace bpfman {

struct WorkerReply {
  int64_t result;
  kj::Array<kj::byte> tail;
  kj::Maybe<kj::AutoCloseFd> descriptor;
};

class WorkerChannel {  // to a worker, or to one of its load sessions
 public:
  WorkerChannel(kj::UnixEventPort& port, kj::AutoCloseFd socket, kj::StringPtr peer) : channel(port, kj::mv(socket), peer) {}

  template <typename Body>
  kj::Promise<WorkerReply> call(wire::Op op, const Body& body, kj::ArrayPtr<const kj::byte> tail = nullptr,
                                kj::ArrayPtr<const int> descriptors = nullptr) {
    return callBytes(op, kj::arrayPtr(reinterpret_cast<const kj::byte*>(&body), sizeof body), tail, descriptors);
  }
  kj::Promise<WorkerReply> callPlain(wire::Op op, kj::ArrayPtr<const int> descriptors = nullptr) {
    return callBytes(op, nullptr, nullptr, descriptors);
  }
  bool alive() const { return channel.alive(); }

 private:
  Channel channel;

  kj::Promise<WorkerReply> callBytes(wire::Op op, kj::ArrayPtr<const kj::byte> body, kj::ArrayPtr<const kj::byte> tail,
                                     kj::ArrayPtr<const int> descriptors);
};

int64_t requireOk(const WorkerReply& reply, kj::StringPtr what);
// The result, or an exception "WHAT: the kernel's reason".
kj::String kernelReason(int64_t result);

// What ObjectInfo answers hold; `info` is the kernel's own struct, cut or zero-filled to Info's size.
template <typename Info>
Info infoOf(const WorkerReply& reply) {
  Info info{};
  if (reply.tail.size() > sizeof(wire::ObjectInfo)) {
    wire::ObjectInfo header;
    memcpy(&header, reply.tail.begin(), sizeof header);
    size_t size = kj::min(reply.tail.size() - sizeof header, kj::min(sizeof info, header.infoSize));
    memcpy(&info, reply.tail.begin() + sizeof header, size);
  }
  return info;
}
kj::Array<uint32_t> mapIdsOf(const WorkerReply& reply);

// ---- places ----

wire::Pin pinAt(wire::Dir dir, uint32_t a = 0, uint32_t b = 0, uint32_t c = 0, kj::StringPtr name = "");
inline wire::Pin loadedProgram(uint32_t load, uint32_t index) { return pinAt(wire::Dir::loads, load, index, 0, "p"); }
inline wire::Pin loadedMap(uint32_t load, uint32_t index) { return pinAt(wire::Dir::loads, load, index, 0, "m"); }
kj::String pathOf(kj::StringPtr runtimeDir, const wire::Pin& pin);  // as clients see it
bool isPinName(kj::StringPtr name);                                 // [A-Za-z0-9_]{1,63}

}  // namespace bpfman
