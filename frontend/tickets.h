// One-time tickets: a descriptor for a client whose library can't receive one over the RPC. He is given 32 random bytes; whoever brings
// them to fd.sock, as the same user, within 30 seconds, gets the descriptor, once.
#pragma once

#include <array>
#include <list>

#include <kj/async-unix.h>
#include <kj/function.h>

#include "frontend/core.h"

namespace bpfman {

using TicketBytes = std::array<kj::byte, 32>;

enum class TicketStatus : kj::byte { ok, unknown, othersTicket, gone };

class Tickets {
 public:
  using Open = kj::Function<kj::AutoCloseFd(kj::WaitScope&)>;  // throws when it may not be had any more

  TicketBytes issue(uint32_t peerUid, kj::TimePoint now, Open open);  // refuses one above TICKETS_PER_USER

  struct Redeemed {
    TicketStatus status;
    kj::Maybe<Open> open;
  };
  Redeemed redeem(const TicketBytes& bytes, uint32_t peerUid, kj::TimePoint now);  // used up, unless it is another user's

 private:
  struct Ticket {
    TicketBytes bytes;
    uint32_t uid;
    kj::TimePoint until;
    Open open;
  };
  std::list<Ticket> tickets;

  void forgetLate(kj::TimePoint now);
};

// fd.sock: 32 bytes in; out one byte of TicketStatus, with `ok` and exactly one descriptor; then the end.
class TicketWindow final : private kj::TaskSet::ErrorHandler {
 public:
  TicketWindow(Core& core, int socket)
      : core(core), socket(socket), observer(core.io.unixEventPort, socket, kj::UnixEventPort::FdObserver::OBSERVE_READ), tasks(*this) {}

  kj::Promise<void> serve();  // never ends

 private:
  Core& core;
  int socket;
  kj::UnixEventPort::FdObserver observer;
  std::map<uint32_t, uint32_t> perUid;  // connections: each keeps at most one descriptor on its way
  kj::TaskSet tasks;

  void serveOne(kj::AutoCloseFd client, uint32_t uid, kj::WaitScope& scope);
  void taskFailed(kj::Exception&& exception) override;
};

}  // namespace bpfman
