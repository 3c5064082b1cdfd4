#include "frontend/connection.h"

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

kj::Promise<void> Connection::overloaded() {
  return KJ_EXCEPTION(OVERLOADED,
                      kj::str("too many calls in flight on this connection (", core.options.maxCalls, "): wait for their answers"));
}

void Connection::explain(kj::Exception&& exception) {
  if (exception.getType() != kj::Exception::Type::DISCONNECTED) kj::throwFatalException(kj::mv(exception));
  refuse(kj::Exception::Type::OVERLOADED,
         kj::str("the privileged worker ended while it did this, and is started again; what was half done is undone: look, and try again (",
                 exception.getDescription(), ")"));
}

void Connection::disconnected() {
  for (Cancellation* load : loads) load->cancel();
  uploads.clear();
}

}  // namespace bpfman
