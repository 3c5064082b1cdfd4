// The frontend's end of a SOCK_SEQPACKET socket on which each request has one answer, in order: to the worker, a load session, a
// loader, the broker. Calls may be made before earlier ones are answered. When the other side is gone every call fails with type
// DISCONNECTED, those under way too.
#pragma once

#include <deque>

#include <kj/async-unix.h>
#include <kj/io.h>
#include <kj/vector.h>

namespace bpfman {

struct Packet {
  kj::Array<kj::byte> bytes;
  kj::Vector<kj::AutoCloseFd> descriptors;
};

class Channel final : private kj::TaskSet::ErrorHandler {
 public:
  Channel(kj::UnixEventPort& port, kj::AutoCloseFd socket, kj::StringPtr peer);
  ~Channel() noexcept(false);
  KJ_DISALLOW_COPY(Channel);

  kj::Promise<Packet> call(kj::ArrayPtr<const kj::byte> message, kj::ArrayPtr<const int> descriptors = nullptr);
  // The descriptors stay the caller's: what can't be sent at once is duplicated.
  bool alive() const { return !broken; }

 private:
  struct Outgoing {
    kj::Array<kj::byte> bytes;
    kj::Vector<kj::AutoCloseFd> descriptors;
  };

  kj::AutoCloseFd socket;
  kj::StringPtr peer;
  kj::UnixEventPort::FdObserver observer;
  std::deque<Outgoing> outgoing;
  std::deque<kj::Own<kj::PromiseFulfiller<Packet>>> waiting;
  kj::Array<kj::byte> buffer;
  bool broken = false;
  kj::TaskSet tasks;

  kj::Promise<void> readAll();
  kj::Promise<void> flush();
  bool send(kj::ArrayPtr<const kj::byte> bytes, kj::ArrayPtr<const int> descriptors);  // false: would block
  void fail(kj::StringPtr why);
  void taskFailed(kj::Exception&& exception) override { fail(exception.getDescription()); }
};

}  // namespace bpfman
