// The control messages between frontend and broker: fixed size, a few operations, one answer each, in order, over SOCK_SEQPACKET.
// The broker does only what needs CAP_SYS_ADMIN or root's files at run time; a malformed message ends the frontend.
#pragma once

#include "schema/ceiling.h"
#include "schema/descriptors.h"

// clang-format off
namespace bpfman::wire {

enum class BrokerOp : uint32_t {
  startWorker,      // descriptors: none (the host's network namespace) or one nsfs descriptor of a network namespace
                    //   -> 2 descriptors: the worker's control socket, an rtnetlink socket opened in that namespace
  startLoader,      // -> 2 descriptors: the loader's job socket, and the socket that is to be given to a load session
  openEvent,        // what EventKind says -> 1 descriptor: a perf event of `pid`, or of the whole system on `cpu`. -EOPNOTSUPP: no such probes
  shareXdp,         // libxdp's directory, locked as its protocol wants until the last descriptor of it is closed; what others made in it is the
                    //   worker's too from now on -> 1 descriptor. -EAGAIN: somebody else has the lock. -EOPNOTSUPP: no bpffs is there
  openXdpProgram,   // id: a kernel program id, of type XDP; else -EPERM -> 1 descriptor
  ready,            // the frontend serves; once. policyTaken: by the policy it was given, which is kept as the last right one
  startDelegator,   // -> 1 descriptor: its job socket (schema/delegator.h)
  openModule,       // name: of a module of the kernel that is loaded -> 1 descriptor: its BTF. -ENOENT: there is none of that name
  count
};

enum class EventKind : uint32_t {
  tracepoint,       // group and name, [A-Za-z0-9_-]{1,63}
  uprobe,           // descriptor: the binary
  kprobe,           // name, [A-Za-z0-9_.]{1,127}: a function of the kernel
  software, hardware,
  count
};

struct BrokerRequest {
  BrokerOp op;
  uint32_t policyTaken;       // 1 or 0; ready only
  char group[64], name[128];  // NUL-padded; empty where the operation has none
  uint32_t id = 0;            // openXdpProgram
  EventKind kind{};           // openEvent, and all that follows
  int32_t pid = 0, cpu = 0;   // pid 0: the whole system. cpu -1: wherever the process runs
  uint32_t returns = 0;       // of a probe: 1: when the function returns
  uint64_t where = 0;         // of a probe: bytes in the file, in the function; else PERF_COUNT_*
  uint32_t frequent = 0;      // software, hardware: 1: `often` times a second; 0: after so many events
  uint64_t often = 0;
};

struct BrokerReply {
  int32_t result;             // 0 or -errno; -EAGAIN: a child of this kind died too often, ask again after delay
  uint32_t delayMilliseconds;
};

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
