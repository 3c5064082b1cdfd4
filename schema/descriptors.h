// Which descriptors the broker's children have at exec: 0 is /dev/null, 1 and 2 are the broker's log pipe, 3 .. are these; everything else
// is closed.
#pragma once

// clang-format off
namespace bpfman::wire {

namespace fd {
constexpr int control = 3;                    // worker: to the frontend; frontend: to the broker; loader, delegator: its job socket
namespace worker { constexpr int ceiling = 4; }                       // sealed memfd: wire::Ceiling. The root directory is the bpffs
namespace delegator { constexpr int ceiling = 4; }                    // likewise
namespace loader { constexpr int session = 4, kernelBtf = 5; }        // the load session's socket; /sys/kernel/btf/vmlinux, if there
namespace frontend {
constexpr int listener = 4;                   // the RPC's listening socket
constexpr int options = 5;                    // sealed memfd: wire::FrontendOptions
constexpr int policy = 6, keptPolicy = 12;    // sealed memfds: the policy file as it is now, empty: none; and as it last was right, or
                                              // /dev/null: it never was, since the broker started
constexpr int kernelBtf = 7;                  // /sys/kernel/btf/vmlinux, or /dev/null
constexpr int statsEnabled = 8;               // /proc/sys/kernel/bpf_stats_enabled
constexpr int cgroups = 9;                    // the root of the cgroup2 hierarchy, or /dev/null
constexpr int probed = 13;                    // tracefs' list of the functions that can be probed, or /dev/null
constexpr int tickets = 14;                   // fd.sock's listening socket
constexpr int clients = 15;                   // and those of FrontendOptions::clients, in their order
constexpr int stateDir = 10, runtimeDir = 11; // the only directories that it may change: STATE_DIR and RUNTIME_DIR/programs
}
}

}  // namespace bpfman::wire
