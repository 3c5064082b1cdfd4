// The kernel's numbers in words, spelt as upstream bpfman shows them (lower case, no underscores; link types as the kernel says).
// Numbers that these tables don't know are "unknown".
#pragma once

#include <cstdint>
#include <ctime>

#include <kj/string.h>

namespace bpfman {

kj::StringPtr programTypeName(uint32_t type);  // "xdp", "schedcls", "rawtracepoint", …
kj::StringPtr mapTypeName(uint32_t type);      // "hash", "percpuarray", "ringbuf", …
kj::StringPtr linkTypeName(uint32_t type);     // "xdp", "tcx", "perf_event", "raw_tracepoint", …
kj::StringPtr attachTypeName(uint32_t type);   // "cgroupinetingress", "tcxingress", …
kj::StringPtr attachHookName(uint32_t type);   // for people: "cgroup_skb egress", "tcx ingress", …; "" where the link's type says it

int64_t bootTime();
// When the machine started, ns since 1970, by the clocks of this moment: add it to a program's load time. It moves when the
// wall clock is set.

}  // namespace bpfman
