// Numbers of the kernel's that its headers in Debian don't have yet.
#pragma once

#include <linux/bpf.h>

namespace bpfman {

constexpr __u32 UPROBE_SESSION = BPF_TRACE_KPROBE_SESSION + 1;  // BPF_TRACE_UPROBE_SESSION, of Linux 6.13

// clang-format off
union LoadAttr {                                                   // BPF_PROG_LOAD of Linux 6.18
  bpf_attr known;
  struct { __u8 before[152]; __u64 signature; __u32 signatureSize; __s32 keyring; } later;
};
// clang-format on

}  // namespace bpfman
