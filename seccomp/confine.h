// How a process closes itself in at the end of its start: no libseccomp, no kj, no exceptions, as it is linked into the worker.
// Each call either succeeds or ends the process with one line. The policies are compiled from the *.policy files beside this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <linux/filter.h>

namespace bpfman {

namespace seccomp {
struct Policy {
  const sock_filter* filter;
  unsigned short length;
};
// One library each: seccomp_worker, …
extern const Policy BROKER_POLICY, FRONTEND_POLICY, WORKER_POLICY, SESSION_POLICY, WAITING_POLICY, LOADER_POLICY, RUNNER_POLICY,
    DELEGATOR_POLICY;
}  // namespace seccomp

void noCoreDumps();                                      // nor ptrace by the same user. Call it last: /proc/self then belongs to root
void enterPolicy(const seccomp::Policy& policy);         // all threads. Needs no_new_privs, which the broker sets
void requireConfined(bool succeeded, const char* what);  // or the process ends, saying what and errno

}  // namespace bpfman
