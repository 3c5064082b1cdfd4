#include "frontend/connection.h"

#include <kj/debug.h>

namespace bpfman {

kj::Promise<void> Connection::overloaded() {
  return KJ_EXCEPTION(OVERLOADED,
                      kj::str("too many calls in flight on this connection (", core.options.maxCalls, "): wait for their answers"));
}

void Connection::disconnected() {
  for (Cancellation* load : loads) load->cancel();
  uploads.clear();
}

}  // namespace bpfman
