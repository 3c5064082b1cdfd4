// What the catalogue keeps: what was asked of bpfman, by whom and from where. "caller": as the client said; "kernel": as the kernel
// said when it was done; "own": our own numbering. Times are nanoseconds since 1970.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bpfman {

using Pairs = std::vector<std::pair<std::string, std::string>>;  // in the caller's order; values are bytes

struct MapRow {
  uint32_t index = 0;       // own: loads/L/mN
  std::string name;         // the ELF name
  uint32_t id = 0;          // kernel
  bool internal = false;    // .rodata and the like: kept, but without a public pin
  uint32_t sourceLoad = 0;  // where it was made: another load when reused from that, else this one
  uint32_t sourceIndex = 0;
  bool named = false;  // pinned by name: it is the one map of that name of its owner's application (frontend/map-sources.h)
  bool operator==(const MapRow&) const = default;
};

struct Signature {      // as schema/load.capnp has it
  std::string program;  // the function's name
  std::string pkcs7;
  int32_t keyring = 0;
  bool operator==(const Signature&) const = default;
};

struct LoadRow {
  enum State : uint8_t { loading, loaded, unloading };  // the journal: at start, anything but `loaded` was under way
  uint32_t load = 0;                                    // own, never reused, 1 .. 2^31-1
  State state = loading;
  std::string sourcePath;  // caller: shown, never opened
  uint32_t uid = 0;        // for whom
  std::string license;     // of the object
  int64_t createdAt = 0;
  std::vector<MapRow> maps;  // ascending by index
  bool own = false;          // an object of bpfman itself: a dispatcher, the iterators
  std::string purpose;       // of an own one: which. Of a client's: whether it is an update's (servers.h), or was taken (load.h)
  std::string request;       // "UID:" and the caller's request id; "": none
  bool persistent = false;   // it and its links outlive a reboot: frontend/persistence.h
  std::string missing;       // of a persistent one: why the kernel does not have it; its programs have placeholders for ids. "": it has
  std::vector<std::pair<std::string, uint32_t>> mapSizes;  // caller, of a persistent one: max_entries instead of the object's
  std::vector<Signature> signatures;                       // likewise: of its programs
  bool otherTypes = false;                                 // of a persistent one: types of another kernel are kept, which it is fitted to
  bool operator==(const LoadRow&) const = default;
};

struct ProgramRow {
  uint32_t id = 0;               // kernel
  uint32_t load = 0, index = 0;  // own: loads/L/pN
  std::string name;              // the function's full name
  uint16_t type = 0;             // schema::ProgramType
  std::string attachTo;          // caller, or the section's
  Pairs globals, metadata;       // caller
  std::string application;       // caller
  uint32_t mapOwner = 0;         // kernel id of the program whose maps it uses; 0: none
  uint32_t tailCalls = 0;        // instructions in it that tail call
  bool gplCompatible = false;    // kernel
  std::string tag;               // kernel: 16 hex digits
  bool extension = false;        // XDP, TC: loaded to replace a function of a dispatcher, not to run by itself
  bool frags = false;            // XDP: its section says that it takes packets in several buffers
  int32_t runPriority = -1;      // XDP: of the object's .xdp_run_config; -1: none
  uint32_t runProceedOn = 0;     // likewise, bit = 1 << verdict; 0: none
  bool operator==(const ProgramRow&) const = default;
};

struct LinkRow {
  enum State : uint8_t { attaching, attached, detaching };
  uint32_t id = 0;  // own, never reused, 1 .. 2^31-1
  State state = attaching;
  uint32_t programId = 0;              // kernel
  uint16_t kind = 0;                   // schema::ProgramType
  uint32_t kernelLinkId = 0;           // kernel; 0: not yet. XDP: the dispatcher's
  std::string interface;               // caller
  uint32_t ifindex = 0;                // kernel, inside its namespace; 0: the hook has none
  uint8_t direction = 0;               // schema::Direction
  int32_t priority = 0;                // lower runs first
  uint32_t proceedOn = 0;              // bit = 1 << verdict
  std::vector<int32_t> proceedOnList;  // the same as the caller gave it
  std::string netnsPath;               // caller: shown, never opened
  uint64_t nsid = 0;                   // kernel: inode of the network namespace
  bool hostNetns = true;
  std::string target;  // tracepoint: "group/name"; raw_tp, tp_btf: the name
  std::string place;   // caller: a schema::Place as flat words, its descriptors left out
  Pairs metadata;      // caller
  int64_t createdAt = 0;
  uint32_t uid = 0;                     // for whom
  std::string request;                  // as of a load
  std::vector<uint32_t> before, after;  // our link ids, 0 the adopted program: as the caller asked; who is gone means nothing
  enum Absence : uint8_t { none, paused, left };
  Absence absence = none;  // why it does not run though it is attached. left: for good, once its change is confirmed
  std::string waiting;     // of a persistent program's: why it is not attached, then ifindex is 0. "": it is
  bool operator==(const LinkRow&) const = default;
};

// It is wanted, and kernel and bpffs have nothing of it. While one is being attached again its state is attaching.
inline bool isWaiting(const LinkRow& link) { return link.state == LinkRow::attached && !link.waiting.empty(); }

struct TokenRow {    // of this boot
  uint32_t id = 0;   // own, never reused
  uint32_t uid = 0;  // for whom
  int64_t createdAt = 0;
  uint64_t delegated[4] = {};              // in the order of schema/delegator.h
  uint32_t process = 0;                    // kernel: who asked
  uint64_t userNamespace = 0, cgroup = 0;  // kernel; 0: not known
  bool withdrawn = false;
  bool operator==(const TokenRow&) const = default;
};

struct DispatcherRow {  // one for each hook that bpfman keeps a chain on
  std::string type;     // "xdp", "tc-ingress", "tc-egress"
  uint64_t nsid = 0;    // kernel
  uint32_t ifindex = 0;
  uint32_t revision = 0;                          // +1 with each change of the chain
  uint32_t load = 0;                              // own: the dispatcher's object
  uint32_t programId = 0;                         // kernel
  uint32_t kernelLinkId = 0;                      // 0: attached by a filter, or by netlink
  uint32_t filterPriority = 0, filterHandle = 0;  // TC by clsact
  std::string netnsPath, interface;
  bool hostNetns = true;
  std::string engine = "tailcall";
  bool parked = false;           // stays also without members
  uint32_t adopted = 0;          // kernel: another tool's program, which the dispatcher replaced and has as a member; 0: none
  int32_t adoptedPriority = 50;  // and where it runs in the chain
  bool operator==(const DispatcherRow&) const = default;
};

struct LinkBefore {  // a link as it was before a change
  uint32_t link = 0;
  bool joined = false;  // it was not there
  uint32_t programId = 0;
  int32_t priority = 0;
  uint32_t proceedOn = 0;
  LinkRow::Absence absence = LinkRow::none;
  bool operator==(const LinkBefore&) const = default;
};

struct ChangeRow {  // of several links at once, or one that waits to be confirmed: how to take it back
  enum State : uint8_t { applying, waiting, confirmed };  // the journal: at start one that was being applied is taken back
  uint32_t id = 0;                                        // own, never reused, 1 .. 2^31-1
  State state = applying;
  uint32_t uid = 0;       // for whom
  uint64_t until = 0;     // ns of CLOCK_MONOTONIC: taken back then, unless it is confirmed; 0: it does not wait
  bool inKernel = false;  // by the kernel, also when nobody of us lives
  std::vector<LinkBefore> links;
  uint32_t replaced = 0, replacement = 0;  // programs: one of them is unloaded in the end; 0: none
  bool operator==(const ChangeRow&) const = default;
};

}  // namespace bpfman
