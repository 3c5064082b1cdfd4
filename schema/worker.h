// What the worker and its load sessions understand, and nothing else: fixed binary messages over SOCK_SEQPACKET, defined once for
// both sides. A message is a Header, the fixed struct of its operation, and a tail whose lengths that struct states. Descriptors
// travel beside it by SCM_RIGHTS. Numbers are in the machine's byte order: both ends are built together.
//
// An answer is a Reply and a tail. Reply.result is what the operation returns (>= 0), or -errno as the kernel gave it, or
// -EPERM when the grant or the ceiling forbids it. Anything malformed, unknown or not allowed in the sender's state is not
// answered: the worker logs one line and dies (a load session: it alone).
#pragma once

#include <cstddef>
#include <cstdint>

#include "schema/ceiling.h"

// clang-format off
namespace bpfman::wire {

constexpr size_t MAX_MESSAGE = 64 << 10;      // bytes, header included, either direction
constexpr size_t MAX_DESCRIPTORS = 3;         // in one message
constexpr size_t MAX_BLOB = 32 << 20;         // bytes of a sealed memfd (instructions with their debug information; map values)
constexpr uint32_t MAX_LOG = 16 << 20;        // bytes of verifier log
constexpr uint32_t MAX_MODULES = 8;           // of the kernel, whose types and functions one load uses
constexpr uint32_t FIRST_INDEX = MAX_MODULES + 1, MAX_NAMED = 64; // where and how many maps instructions name by index, as signed ones do
constexpr size_t NAME = 64;                   // [A-Za-z0-9_]{1,63} and its NUL: bpffs refuses dots

// Who may say what, and when. The bits are the states of operations[] in worker/operations.c++.
enum class Op : uint32_t {
  // frontend -> worker
  startSession, endSession, wipeStaging, publish, remove, removeLoad, list, inspect, openObject, openIterator,
  lookup, readMap, update, setSlot, createLink, updateLink, query, setXdp, setFilter,
  // frontend -> load session
  grant, inspectHandle, commit, addModule,       // the loader may say inspectHandle, too
  // loader -> load session
  createMap, loadBtf, loadProgram, initialise, freezeMap, bindMap,
  count
};

struct Header { Op op; uint32_t size; };      // size: of the whole message
struct Reply { int64_t result; uint32_t size, descriptors; };     // likewise; how many descriptors came with it

// A place in our own bpffs. Paths are never sent: the worker makes them from these words. A, B, C, NAME are the pin's.
//   loads             loads/A/pB (programs), loads/A/mB (maps): what a load committed; NAME is "p" or "m"
//   programs          prog_A: public, A is the kernel's program id
//   maps              maps/A/NAME: public, A is the kernel's program id
//   links             links/A: A is our link id
//   dispatchers       xdp/dispatcher_A_B_NAME: A namespace inode, B interface index; NAME is "link"
//   tcIngress         tc-ingress/dispatcher_A_B_NAME: "link", where the dispatcher has one; PROGRAM_progN, a member's that replaces its
//                     function; tcEgress likewise
//   members           xdp/dispatcher_A_B/link_C: C is our link id
//   tcIngressMembers  tc-ingress/dispatcher_A_B/link_C; tcEgressMembers likewise
//   tcxIngress        tcx-ingress/link_A_B_C: C is the kernel's program id; tcxEgress, netkitPrimary, netkitPeer likewise
//   iterators         iterators/NAME
//   version           version_A: which layout these pins have
//   xdpPrograms       libxdp/dispatch-A-B/progC-prog: the libxdp protocol's pins, in its own directory (on another bpffs): A interface
//                     index, B the dispatcher's program id, C position
//   xdpLinks          libxdp/dispatch-A-B/progC-link
enum class Dir : uint32_t {
  loads, programs, maps, links, dispatchers, tcIngress, tcEgress, members, tcIngressMembers, tcEgressMembers, tcxIngress, tcxEgress,
  netkitPrimary, netkitPeer, iterators, version, xdpPrograms, xdpLinks, count
};

struct Pin {
  Dir dir;
  uint32_t a, b, c;
  char name[NAME];                            // NUL-padded
};

enum class Kind : uint32_t { program, map, link, btf };

// ---- the grant: what one load session may do ----

struct GrantedProgram {
  uint32_t type;                              // BPF_PROG_TYPE_*
  uint32_t expectedAttachType;
  uint32_t attachBtfId;                       // in the kernel's own BTF, the module's, or the target's; 0: none
  uint32_t flags;                             // BPF_F_* of BPF_PROG_LOAD, exactly
  uint32_t target = 0, targetIndex = 0;       // whose function it extends or watches: the program loads/<target>/p<targetIndex>; 0: none
  uint32_t module = 0;                        // in whose BTF attachBtfId is: number of a module, as Op::addModule answered; 0: of none
};

struct MapSource { uint32_t load, index; };   // loads/<load>/m<index>

struct Grant {                                // Op::grant; once. Tail: none
  uint64_t mapTypes, maxMapBytes;
  uint32_t maxMaps;
  uint32_t programCount, reuseCount, reserved;
  GrantedProgram programs[MAX_PROGRAMS];      // each may be loaded once
  MapSource reuse[MAX_MAPS];                  // become handles 0 .. reuseCount-1, in this order
};

// Op::addModule -> its number: 1, 2, … One descriptor: the module's BTF. -EPERM: of anything else.

struct Handle { uint32_t handle; };           // Op::inspectHandle -> ObjectInfo, Op::freezeMap

struct Commit {                               // Op::commit; once. handles -> loads/<load>/p0.. and m0.., in this order
  uint32_t load, programCount, mapCount, reserved;
  uint32_t handles[MAX_PROGRAMS + MAX_MAPS];  // programs first
};

// ---- a loader's requests: one struct for each bpf(2) command that libbpf uses; handles instead of descriptors ----

constexpr uint32_t NO_HANDLE = ~0u;

struct CreateMap {                            // -> handle
  uint32_t type, keySize, valueSize, maxEntries, flags, numaNode, btfKeyType, btfValueType;   // of struct_ops: the value's, in the kernel's BTF
  uint64_t extra;
  uint32_t btf, innerMap;                     // handles or NO_HANDLE
  char name[16];
};

struct LoadBtf { uint32_t size, reserved; };  // -> handle. The bytes: the tail, or a sealed memfd

struct LoadProgram {                          // -> handle. A kernel error comes with the log in a memfd, if one was asked for
  uint32_t type, expectedAttachType, attachBtfId, flags, kernelVersion;
  uint32_t btf;                               // handle or NO_HANDLE
  uint32_t logLevel, logSize;                 // bytes, <= MAX_LOG
  uint32_t instructionCount;                  // 8 bytes each; map references carry handles where the kernel wants descriptors, calls of a
                                              // module's functions (`off`) and references to its variables (second half) its number
  uint32_t funcInfoRecord, funcInfoCount, lineInfoRecord, lineInfoCount, coreReloRecord, coreReloCount, attachModule;   // as granted
  uint32_t signatureSize; int32_t keyring;    // bytes of PKCS#7 over the instructions, 0: none; the kernel's number of a keyring, or a serial
  uint32_t named[MAX_NAMED];                  // of the maps FIRST_INDEX, FIRST_INDEX + 1, … of the instructions: handle + 1; 0: none
  char name[16];
  char license[64];
};                                            // then, in the tail or a sealed memfd: instructions, func, line, core records, signature

// The tail, or a sealed memfd: key, value, and `functions` times where in the value the kernel wants a program. Handles stand for objects.
struct Initialise { uint32_t map, keySize, valueSize, flags, functions = 0, reserved = 0; };
struct FunctionAt { uint32_t offset, program; };
struct BindMap { uint32_t program, map; };

// ---- a frontend's requests ----

struct Session { uint32_t session, reserved; };                   // Op::endSession: kills it, also in the middle of a verifier run
struct Publish { Pin from, to; };                                 // a second name for the same object; an existing one is kept (EEXIST). With a
                                                                  // descriptor, of a program of another tool, within the ceiling: `to` a
                                                                  // member, or the program of a load; from zeros
struct RemoveLoad { uint32_t load, reserved; };
struct List { Pin directory; uint32_t skip, reserved; };          // -> NUL-terminated names behind the first `skip`, as many as fit. a 0: loads/,
                                                                  // maps/ themselves
struct OpenObject { Pin pin; uint32_t flags, reserved; };         // -> one descriptor. A map: flags 0, BPF_F_RDONLY, BPF_F_WRONLY; a program of those
                                                                  // types with which a descriptor is no more than given to a socket, or run by who has it: 0
struct OpenIterator { Pin pin, map; };                            // -> one descriptor to read. pin: an iterator's link; or a program, which
                                                                  // runs over the process whose pidfd comes with it, or over the
                                                                  // elements of `map`
struct Element { Pin pin; uint32_t keySize, valueSize, flags, reserved; };   // Op::lookup -> value, Op::update. Tail: key, value
struct ReadMap { Pin pin; uint32_t keySize, valueSize, hasStart, reserved; };// tail: the key after which to start -> keys and values in turn
struct SetSlot { Pin array, program; uint32_t index, present; };  // present 0: empties the slot

enum class LinkKind : uint32_t {              // tcx: netkit devices too; netns: sk_lookup, flow_dissector; sockets: a sockmap's
  xdp, tcx, perfEvent, rawTracepoint, tracing, iterator, freplace, cgroup, netns, netfilter, sockets, structOps, kprobeMulti, uprobeMulti, count
};

struct CreateLink {                           // -> kernel link id, pinned at `to`
  Pin program, to;
  LinkKind kind;
  uint32_t attachType, interface, flags;      // flags: XDP_FLAGS_*; tcx, cgroup: BPF_F_BEFORE, BPF_F_AFTER, BPF_F_ID, BPF_F_LINK; else
                                              // BPF_F_NETFILTER_IP_DEFRAG, BPF_F_KPROBE_MULTI_RETURN, BPF_F_UPROBE_MULTI_RETURN
  uint32_t relative;                          // id of a program or, with BPF_F_LINK, of a link; freplace: BTF id of a function of `target`;
                                              // uprobeMulti: the process, 0: all
  uint32_t family, hook;                      // netfilter: NFPROTO_*, NF_INET_*
  int32_t priority;                           // netfilter
  uint64_t expectedRevision;                  // tcx, cgroup: 0 for any; ESTALE when another came first
  char name[NAME * 2];                        // rawTracepoint: which
  Pin target;                                 // freplace: the program whose function is replaced; sockets: the sockmap; structOps: the map,
                                              // while program is zeros; iterator: the map, or zeros; else zeros
};                                            // One descriptor: of the event, the cgroup's directory, the network namespace or the binary. Tail
                                              // of kprobeMulti: the functions, each with its NUL; of uprobeMulti: for each place a uint64_t,
                                              // where it is in the file, then for each its reference counter (0: none), then for each its cookie

struct UpdateLink { Pin link, program; };     // the link runs this program from now on; no packet sees neither

struct Query { uint32_t interface, attachType, flags, reserved; };// -> QueryAnswer, program ids, link ids (interface) ; one descriptor: a cgroup
struct QueryAnswer { uint64_t revision; uint32_t count, attachFlags; };

// What has no link: by rtnetlink, in the worker's own network namespace, to the kernel's own answer. Never blindly: what is there must be
// what is expected, or nothing.
struct SetXdp {
  Pin program, expected;                      // expected: a program of ours, or (hasExpected 0) one descriptor, or neither: nothing is there
  uint32_t hasProgram, hasExpected;           // hasProgram 0: detaches
  uint32_t interface, modes;                  // modes: XDP_FLAGS_MODES
};

enum class FilterChange : uint32_t { create, remove, replace, count };

struct SetFilter {                            // one cls_bpf filter, direct action, all protocols, on a clsact qdisc that `create` makes too
  Pin program;                                // of create and replace
  FilterChange change;                        // create: EEXIST when the handle is taken; replace: ENOENT when nothing has it
  uint32_t egress, interface, priority, handle, reserved;   // priority 1 .. 65535; handle: never 0, which is all of a priority
};

struct ObjectInfo {                           // as the kernel says; then the kernel's own bpf_*_info, and for a program its map ids
  Kind kind;
  uint32_t infoSize, mapCount, reserved;
};

}  // namespace bpfman::wire
