// Numbers of the kernel's that its headers in Debian don't have yet.
#pragma once

#include <linux/bpf.h>

namespace bpfman {

constexpr uint32_t UPROBE_SESSION = BPF_TRACE_KPROBE_SESSION + 1;  // BPF_TRACE_UPROBE_SESSION, of Linux 6.13

}  // namespace bpfman
