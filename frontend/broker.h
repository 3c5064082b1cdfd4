// What the frontend asks of the broker (schema/broker.h).
#pragma once

#include <kj/timer.h>

#include "frontend/channel.h"
#include "schema/broker.h"

namespace bpfman {

class BrokerChannel {
 public:
  BrokerChannel(kj::UnixEventPort& port, kj::Timer& timer, kj::AutoCloseFd socket)
      : timer(timer), channel(port, kj::mv(socket), "the broker") {}

  struct StartedWorker {
    kj::AutoCloseFd control, netlink;
  };
  struct StartedLoader {
    kj::AutoCloseFd job, session;
  };

  kj::Promise<StartedWorker> startWorker(kj::Maybe<int> networkNamespace);
  kj::Promise<StartedLoader> startLoader();
  kj::Promise<kj::AutoCloseFd> openTracepoint(kj::StringPtr group, kj::StringPtr name);
  // A perf event of that tracepoint. Fails with type FAILED and the errno's text; "does not exist" when there is no such tracepoint.
  kj::Promise<kj::AutoCloseFd> shareXdp();  // libxdp's directory; locked as long as the descriptor, or a copy of it, is open
  kj::Promise<kj::AutoCloseFd> openXdpProgram(uint32_t id);
  kj::Promise<kj::AutoCloseFd> openModule(kj::StringPtr name);                                    // its types
  kj::Promise<kj::AutoCloseFd> openUprobe(int binary, uint64_t offset, bool returns, pid_t pid);  // pid 0: all processes
  kj::Promise<kj::AutoCloseFd> openKprobe(kj::StringPtr function, uint64_t offset, bool returns);
  kj::Promise<kj::AutoCloseFd> openCounter(bool hardware, uint64_t number, bool frequent, uint64_t often, int32_t cpu, pid_t pid);
  kj::Promise<kj::AutoCloseFd> startDelegator();  // its job socket
  kj::Promise<void> ready(bool policyTaken);
  // Says once that we serve; policyTaken: by the policy file as it is now.

 private:
  kj::Timer& timer;
  Channel channel;

  kj::Promise<kj::AutoCloseFd> openEvent(wire::BrokerRequest event, kj::String what, kj::Maybe<int> binary = nullptr);
  kj::Promise<kj::Vector<kj::AutoCloseFd>> call(wire::BrokerRequest request, kj::StringPtr what, size_t descriptors,
                                                kj::Maybe<int> passed = nullptr);
};

}  // namespace bpfman
