// The control messages between frontend and broker: fixed size, a few operations, one answer each, in order, over SOCK_SEQPACKET.
// The broker does only what needs CAP_SYS_ADMIN or root's files at run time; a malformed message ends the frontend.
#pragma once

#include "schema/ceiling.h"

// clang-format off
namespace bpfman::wire {

enum class BrokerOp : uint32_t {
  startWorker,      // descriptors: none (the host's network namespace) or one nsfs descriptor of a network namespace
                    //   -> 2 descriptors: the worker's control socket, an rtnetlink socket opened in that namespace
  startLoader,      // -> 2 descriptors: the loader's job socket, and the socket that is to be given to a load session
  openTracepoint,   // words "group" and "name", [A-Za-z0-9_-]{1,63} -> 1 descriptor: a perf event (kernel-wide: pid -1, cpu 0)
  openUprobe,       // descriptor: the binary; offset, returns, pid -> 1 descriptor: a perf event, which fires there
  shareXdp,         // libxdp's directory, locked as its protocol wants until the last descriptor of it is closed; what others made in it is the
                    //   worker's too from now on -> 1 descriptor. -EAGAIN: somebody else has the lock. -EOPNOTSUPP: no bpffs is there
  openXdpProgram,   // id: a kernel program id, of type XDP; else -EPERM -> 1 descriptor
  ready,            // the frontend serves; once. policyTaken: by the policy it was given, which is kept as the last right one
  count
};

struct BrokerRequest {
  BrokerOp op;
  uint32_t policyTaken;       // 1 or 0; ready only
  char group[64], name[64];   // NUL-padded; empty where the operation has none
  uint64_t offset = 0;        // openUprobe: in the file
  uint32_t returns = 0;       // openUprobe: 1: when the function returns
  int32_t pid = 0;            // openUprobe: the process; 0: all
  uint32_t id = 0;            // openXdpProgram
};

struct BrokerReply {
  int32_t result;             // 0 or -errno; -EAGAIN: a child of this kind died too often, ask again after delay
  uint32_t delayMilliseconds;
};

// ---- descriptors at exec: 0 is /dev/null, 1 and 2 are the broker's log pipe, 3 .. are these; everything else is closed ----

namespace fd {
constexpr int control = 3;                    // worker: to the frontend; frontend: to the broker; loader: its job socket
namespace worker { constexpr int ceiling = 4; }                       // sealed memfd: wire::Ceiling. The root directory is the bpffs
namespace loader { constexpr int session = 4, kernelBtf = 5; }        // the load session's socket; /sys/kernel/btf/vmlinux, if there
namespace frontend {
constexpr int listener = 4;                   // the RPC's listening socket
constexpr int options = 5;                    // sealed memfd: wire::FrontendOptions
constexpr int policy = 6, keptPolicy = 12;    // sealed memfds: the policy file as it is now, empty: none; and as it last was right, or
                                              // /dev/null: it never was, since the broker started
constexpr int kernelBtf = 7;                  // /sys/kernel/btf/vmlinux, or /dev/null
constexpr int statsEnabled = 8;               // /proc/sys/kernel/bpf_stats_enabled
constexpr int cgroups = 9;                    // the root of the cgroup2 hierarchy, or /dev/null
constexpr int tickets = 13;                   // fd.sock's listening socket
constexpr int clients = 14;                   // and those of FrontendOptions::clients, in their order
constexpr int stateDir = 10, runtimeDir = 11; // the only directories that it may change: STATE_DIR and RUNTIME_DIR/programs
}
}

constexpr uint64_t POLICY_BYTES = 1 << 20;    // one more is copied, so that the frontend can see that it is too large
constexpr int WRONG_POLICY = 78;              // the frontend's exit status: the policy file is wrong, and there is none that was kept

constexpr uint32_t MAX_CLIENTS = 32;

struct ClientSocket {
  char name[33];                              // [a-z0-9-]: RUNTIME_DIR/clients/NAME.sock; "": no more
  uint32_t uid;                               // whoever connects there is this user, and in no group
};

enum class WantedEngine : uint32_t { automatic, extensions, tailcall };  // extensions: libxdp for XDP, freplace for TC

struct FrontendOptions {
  char runtimeDir[1024];                      // absolute; for the paths that clients are told
  char stateDir[1024];                        // absolute
  char policyPath[1024];                      // for messages only
  WantedEngine xdpEngine, tcEngine;           // by which programs share an interface
  uint32_t poolSize;                          // loader and session pairs kept waiting, 1 .. 8
  uint32_t maxConnections, maxCalls;          // per uid; calls in flight, per uid
  uint32_t verifierSeconds;                   // a load that takes longer is cancelled
  // preferTcx 1: TC dispatchers are attached by TCX, where the kernel has it; 0: by a clsact filter. newestFirst 1: of programs with equal
  // priority the newest runs first; 0: by name, then the oldest.
  uint32_t preferTcx, newestFirst;
  Ceiling ceiling;                            // the worker's, so that what it would refuse is not asked for
  ClientSocket clients[MAX_CLIENTS];
};

}  // namespace bpfman::wire
