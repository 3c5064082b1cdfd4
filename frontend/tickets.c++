#include "frontend/tickets.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/identity.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr kj::Duration GOOD_FOR = 30 * kj::SECONDS, PATIENCE = 5 * kj::SECONDS, TICK = 10 * kj::MILLISECONDS;

bool equal(const TicketBytes& a, const TicketBytes& b) {  // takes as long for any difference
  kj::byte different = 0;
  for (size_t i = 0; i < a.size(); ++i) different |= a[i] ^ b[i];
  return different == 0;
}

void answer(int client, TicketStatus status, int descriptor) {
  iovec byte{&status, 1};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{nullptr, 0, &byte, 1, nullptr, 0, 0};
  if (descriptor >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    *header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  KJ_SYSCALL(sendmsg(client, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

}  // namespace

void Tickets::forgetLate(kj::TimePoint now) {
  tickets.remove_if([&](auto& ticket) { return ticket.until < now; });
}

TicketBytes Tickets::issue(uint32_t peerUid, kj::TimePoint now, Open open) {
  forgetLate(now);
  uint32_t his = 0;
  for (auto& ticket : tickets) his += ticket.uid == peerUid;
  if (his >= limits::TICKETS_PER_USER)
    refuse(kj::Exception::Type::OVERLOADED,
           kj::str("at most ", limits::TICKETS_PER_USER, " tickets of one user at once: redeem them first"));
  Ticket& ticket = tickets.emplace_back(Ticket{{}, peerUid, now + GOOD_FOR, kj::mv(open)});
  KJ_ASSERT(getrandom(ticket.bytes.data(), ticket.bytes.size(), 0) == ssize_t(ticket.bytes.size()));
  return ticket.bytes;
}

Tickets::Redeemed Tickets::redeem(const TicketBytes& bytes, uint32_t peerUid, kj::TimePoint now) {
  forgetLate(now);
  auto found = tickets.end();
  for (auto ticket = tickets.begin(); ticket != tickets.end(); ++ticket)
    if (equal(ticket->bytes, bytes)) found = ticket;
  if (found == tickets.end()) return {TicketStatus::unknown, nullptr};
  if (found->uid != peerUid) return {TicketStatus::othersTicket, nullptr};
  Redeemed redeemed{TicketStatus::ok, kj::mv(found->open)};
  tickets.erase(found);
  return redeemed;
}

kj::Promise<void> TicketWindow::serve() {
  int result = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  kj::AutoCloseFd client(result);
  if (result < 0) {
    if (errno == EAGAIN) return observer.whenBecomesReadable().then([this]() { return serve(); });
    return core.io.provider->getTimer().afterDelay(TICK).then([this]() { return serve(); });
  }
  uint32_t uid = identify(client).caller.uid;
  if (perUid[uid] < limits::TICKETS_PER_USER) {
    ++perUid[uid];
    tasks.add(core.fibers.startFiber([this, uid, client = kj::mv(client)](kj::WaitScope& scope) mutable {
      KJ_DEFER(if (--perUid[uid] == 0) perUid.erase(uid));
      serveOne(kj::mv(client), uid, scope);
    }));
  }
  return kj::evalLater([this]() { return serve(); });
}

// Small and rare, so it is asked every few milliseconds instead of observed.
void TicketWindow::serveOne(kj::AutoCloseFd client, uint32_t uid, kj::WaitScope& scope) {
  auto& timer = core.io.provider->getTimer();
  auto late = timer.now() + PATIENCE;
  TicketBytes bytes;
  size_t size = 0;
  while (size < bytes.size()) {
    ssize_t got = recv(client, bytes.data() + size, bytes.size() - size, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN) || timer.now() > late) return;
    if (got > 0)
      size += got;
    else
      timer.afterDelay(TICK).wait(scope);
  }
  auto redeemed = core.tickets.redeem(bytes, uid, timer.now());
  kj::Maybe<kj::AutoCloseFd> descriptor;
  KJ_IF_MAYBE (open, redeemed.open) {
    auto failure = kj::runCatchingExceptions([&]() { descriptor = (*open)(scope); });
    if (failure != nullptr) redeemed.status = TicketStatus::gone;
  }
  int number = -1;
  KJ_IF_MAYBE (d, descriptor) number = d->get();
  answer(client, redeemed.status, number);

  // Until it was received it is charged to us, so its receiver keeps his place here.
  for (int waiting = 0; number >= 0 && ioctl(client, SIOCOUTQ, &waiting) == 0 && waiting > 0;) {
    char byte;
    if (recv(client, &byte, 1, MSG_DONTWAIT) == 0) return;  // he is gone
    timer.afterDelay(TICK).wait(scope);
  }
}

void TicketWindow::taskFailed(kj::Exception&& exception) { spdlog::warn("a ticket: {}", exception.getDescription().cStr()); }

}  // namespace bpfman
