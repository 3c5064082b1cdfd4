// One end of a SOCK_SEQPACKET pair: receives whole, well-framed requests or dies, sends answers.
#pragma once

#include "schema/worker.h"
#include "worker/die.h"
#include "worker/fd.h"

#include <cstring>
#include <span>
#include <vector>

namespace bpfman {

struct Request {
  wire::Op op{};
  std::vector<uint8_t> body;  // behind the header
  Fd descriptors[wire::MAX_DESCRIPTORS];
  size_t descriptorCount = 0;
  size_t fixedSize = 0;  // of the operation's struct: where the tail begins; from the table

  template <typename T>
  T as() const {  // the table has checked that there are sizeof(T) bytes
    T value;
    memcpy(&value, body.data(), sizeof value);
    return value;
  }
  std::span<const uint8_t> tail() const { return std::span(body).subspan(fixedSize); }
};

// What a handler returns. A descriptor in it is sent and then closed.
struct Answer {
  int64_t result = 0;  // >= 0 or -errno
  std::vector<uint8_t> tail;
  Fd descriptor;

  Answer(int64_t result) : result(result) {}

  Answer& add(const void* data, size_t size) {
    auto* bytes = static_cast<const uint8_t*>(data);
    tail.insert(tail.end(), bytes, bytes + size);
    return *this;
  }
};

class Channel {
 public:
  explicit Channel(Fd socket) : socket(static_cast<Fd&&>(socket)), buffer(wire::MAX_MESSAGE) {}

  bool receive(Request& request);  // false: the other side is gone
  void send(const Answer& answer);
  int descriptor() const { return socket.get(); }
  void close() { socket = Fd(); }

 private:
  Fd socket;
  std::vector<uint8_t> buffer;
};

}  // namespace bpfman
