#include "frontend/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <capnp/rpc-twoparty.h>
#include <kj/debug.h>
#include <kj/encoding.h>

#include "frontend/refuse.h"

namespace bpfman {

void Connection::requireCall() const {
  auto require = [](bool room, auto&&... what) {
    if (!room) refuse(kj::Exception::Type::OVERLOADED, kj::str(what...));
  };
  require(account->calls < core.options.maxCalls, "too many calls in flight of this user (", core.options.maxCalls,
          "): wait for their answers");
  require(unread() <= limits::UNREAD_BYTES, "more than ", limits::UNREAD_BYTES, " bytes of answers wait to be read: read them first");
}

// Of all his connections: answers that wait in our memory until he reads.
size_t Connection::unread() const {
  size_t bytes = 0;
  for (auto* each : account->connections)
    if (each->network != nullptr) bytes += each->network->getCurrentQueueSize();
  return bytes;
}

void Connection::requireCapabilities(uint32_t more) const {
  if (capabilities + more > limits::CAPABILITIES)
    refuse(kj::Exception::Type::OVERLOADED,
           kj::str("a connection may hold ", limits::CAPABILITIES, " capabilities: let go of some that are not needed any more"));
}

void Connection::requireDescriptor(kj::WaitScope& scope) {
  requireCapabilities(1);
  if (descriptors >= limits::DESCRIPTORS_HELD)
    refuse(kj::Exception::Type::OVERLOADED, kj::str("a connection may hold ", limits::DESCRIPTORS_HELD,
                                                    " descriptors: let go of the capabilities of those that were received"));
  auto received = [this]() {
    int bytes = 0;
    return socket < 0 || (network->getCurrentQueueSize() == 0 && ioctl(socket, SIOCOUTQ, &bytes) == 0 && bytes == 0);
  };
  for (int tries = 0; descriptorsSent >= limits::DESCRIPTORS_IN_FLIGHT; ++tries) {
    if (tries == 500) refuse(kj::Exception::Type::OVERLOADED, "descriptors that were sent before have not been received: read them first");
    core.io.provider->getTimer().afterDelay(10 * kj::MILLISECONDS).wait(scope);  // first: what other calls answered is on its way then
    if (descriptorsSent >= limits::DESCRIPTORS_IN_FLIGHT && received()) descriptorsSent = 0;
  }
  ++descriptorsSent;
}

void Connection::audit(AuditLine& line, kj::StringPtr result) {
  line.result = result.cStr();
  line.where = identity.where;
  core.audit.write(uid(), identity.caller.pid, socketName, line);
}

void Connection::auditDenial(kj::StringPtr what) { core.audit.deny(uid(), identity.caller.pid, socketName, what, identity.where); }

std::string Connection::requestKey(capnp::Data::Reader id) const {
  if (id.size() > limits::REQUEST_ID_BYTES) refuse("a request id has at most ", limits::REQUEST_ID_BYTES, " bytes");
  return id.size() == 0 ? std::string() : kj::str(uid(), ':', kj::encodeHex(id)).cStr();
}

void Connection::explain(kj::Exception&& exception) {
  if (exception.getType() != kj::Exception::Type::DISCONNECTED) kj::throwFatalException(kj::mv(exception));
  refuse(kj::Exception::Type::OVERLOADED,
         kj::str("the privileged worker ended while it did this, and is started again; what was half done is undone: look, and try again (",
                 exception.getDescription(), ")"));
}

kj::Own<Narrowing> Holding::narrow(schema::Narrowing::Reader wish) {
  kj::Maybe<kj::Own<Narrowing>> above;
  KJ_IF_MAYBE (n, narrowing) {
    (*n)->requireLive();
    above = kj::addRef(**n);
  }
  connection->requireCapabilities(2);
  return kj::refcounted<Narrowing>(wish, kj::mv(above));
}

void Connection::disconnected() {
  for (Cancellation* load : loads) load->cancel();
  uploads.clear();
  network = nullptr;
  socket = -1;
  account->connections.erase(this);
}

}  // namespace bpfman
