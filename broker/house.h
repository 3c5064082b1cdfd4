// Everything that has to be there before the first child starts, each held by a descriptor: nothing is looked up again afterwards,
// except the policy file.
#pragma once

#include "broker/options.h"
#include "broker/child.h"

namespace bpfman {

enum class Kind { frontend, worker, loader, delegator };

struct ProbeType {  // of perf events, as this kernel numbers them
  uint32_t number = 0, returnBit = 0;
};

struct House {
  Options options{};
  ChildSpec children[4] = {  // by Kind
      {"bpfman-frontend", "bpfman", 0, 65536, true},
      {"bpfman-worker", "bpfman-worker", WORKER_CAPABILITIES, 1024, true},
      {"bpfman-loader", "bpfman-loader", 0, 1024, false},
      {"bpfman-delegator", "bpfman-delegator", bit(CAP_SYS_ADMIN), 16, false}};
  kj::AutoCloseFd null, lock, bpffs, stateDir, programsDir, policy, keptPolicy, tracefs, probed, cgroups, hostNetwork, xdp;
  kj::AutoCloseFd ceiling, frontendOptions;  // sealed memfds
  std::vector<kj::AutoCloseFd> listeners;    // the RPC's, the tickets', then the clients'
  ProbeType uprobe{}, kprobe{};
  bool ownSocket = false;  // made by us, not by systemd

  void readPolicy();  // copies the file as it is now
  void keepPolicy();  // that copy is right. Without a policy only the socket's group may connect
};

void furnish(House& house);  // a running system is kept as it is: pins, attached programs, state

// Parts of it: places.c++
kj::AutoCloseFd openFile(kj::StringPtr path, int flags);                        // always CLOEXEC
kj::AutoCloseFd ownDirectory(kj::StringPtr path, Identity owner, mode_t mode);  // made, or given to its new owner with what it holds
kj::AutoCloseFd mountBpffs(kj::StringPtr path, Identity owner);
kj::AutoCloseFd openTracefs();             // where it is mounted, or a mount of our own that nobody else sees; /dev/null: neither
kj::AutoCloseFd openCgroups();             // the root of cgroup2, or /dev/null
kj::AutoCloseFd openXdp(Identity worker);  // libxdp's directory in the host's bpffs, made if it is missing; /dev/null: there is no bpffs
kj::AutoCloseFd openKernelBtf();           // likewise
kj::AutoCloseFd listenAt(kj::StringPtr path, gid_t group, mode_t mode);
kj::Maybe<kj::AutoCloseFd> takeActivatedSocket();  // systemd's
void tellSystemd(kj::StringPtr state);

}  // namespace bpfman
