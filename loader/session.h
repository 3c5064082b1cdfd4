// The load session as the loader sees it: one typed request of schema/worker.h, one answer. The kernel's objects stay there.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include <kj/array.h>
#include <kj/io.h>

#include "schema/worker.h"

namespace bpfman {

using Bytes = std::span<const unsigned char>;

struct SessionAnswer {
  int64_t result = 0;  // or -errno
  std::vector<unsigned char> tail;
  kj::Maybe<kj::AutoCloseFd> descriptor;  // the verifier's log
};

class Session {
 public:
  virtual ~Session() noexcept(false) = default;
  virtual SessionAnswer call(wire::Op op, Bytes fixed, std::initializer_list<Bytes> tail) = 0;
  // After the session is gone: -EPIPE, and lost() says so. libbpf's C code lies between, so nothing is thrown.
  virtual bool lost() const = 0;
};

class SocketSession final : public Session {
 public:
  explicit SocketSession(kj::AutoCloseFd socket) : socket(kj::mv(socket)), buffer(kj::heapArray<unsigned char>(wire::MAX_MESSAGE)) {}
  SessionAnswer call(wire::Op op, Bytes fixed, std::initializer_list<Bytes> tail) override;
  bool lost() const override { return gone; }

 private:
  kj::AutoCloseFd socket;
  kj::Array<unsigned char> buffer;  // not zeroed: a waiting loader has not touched it
  bool gone = false;

  SessionAnswer receive();
};

template <typename T>
Bytes bytesOf(const T& value) {
  return {reinterpret_cast<const unsigned char*>(&value), sizeof value};
}

}  // namespace bpfman
