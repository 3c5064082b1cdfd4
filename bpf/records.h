// What the iterators of overview.bpf.c write, and the frontend reads: a stream of records, each a Record head that states its own
// size, a fixed struct, and for a program the ids of its maps. Sizes are multiples of 8. Shared by BPF C and C++.
#pragma once

#include <linux/types.h>

#define OVERVIEW_VERSION 2
#define OVERVIEW_MAP_IDS 64  // listed in one program's record; mapCount is the true number
#define OVERVIEW_CONFIG 128  // bytes of a dispatcher's configuration
#define OVERVIEW_TARGET 128  // bytes of a target's name, NUL included

#ifdef __cplusplus
#define OVERVIEW_ASSERT static_assert
namespace bpfman::bpf {
#else
#define OVERVIEW_ASSERT _Static_assert
#endif

enum RecordKind { RECORD_PROGRAM = 1, RECORD_MAP = 2, RECORD_LINK = 3, RECORD_DISPATCHER = 4 };

struct Record {
  __u32 size;  // of the whole record, this head included
  __u16 kind, version;
};

enum ProgramFlags {
  PROGRAM_GPL = 1,
  PROGRAM_STATISTICS = 2,  // runTime, runCount and misses were read on every CPU
  PROGRAM_JITED = 4,
  PROGRAM_SLEEPABLE = 8,
};

struct ProgramRecord {
  struct Record record;
  __u32 id, type, expectedAttachType, uid;
  __u32 btfId, attachBtfId, linkedProgramId, ifindex;  // ifindex: the device that it is bound to
  __u32 xlatedSize, jitedSize, verifiedInstructions, flags;
  __u64 loadTime, memlock;  // nanoseconds since boot (suspend included); bytes
  __u64 runTime, runCount, misses;
  __u64 references;  // pins, links, filters, descriptors: all that hold it, but for the iterator that reads this
  __u8 tag[8];
  char name[16];
  __u32 mapCount, mapsListed;
};  // then mapsListed ids of 4 bytes, and 4 bytes of zero if they are odd

enum MapFlags { MAP_FROZEN = 1 };

struct MapRecord {
  struct Record record;
  __u32 id, type, keySize, valueSize;
  __u32 maxEntries, flags, btfId, state;  // flags: BPF_F_*; state: enum MapFlags
  __u64 extra, memlock;                   // memlock: bytes, reckoned as the kernel does; 0: unknown for this type
  char name[16];
};

enum LinkFlags {
  LINK_ATTACH_TYPE = 1,  // attachType was read
  LINK_RETURN = 2,       // a probe of a function's return
  LINK_PROBE = 4,        // perf event: a kprobe or uprobe; which: `group` ("kprobes", "uprobes", or its maker's own word)
};

struct LinkRecord {
  struct Record record;
  __u32 id, type, programId, programType;
  __u32 attachType, flags;                              // flags: enum LinkFlags
  __u32 ifindex, netns;                                 // netns: inode number
  __u32 targetProgramId, targetBtfObject, targetBtfId;  // tracing: a program, or a type of that BTF object
  __u32 mapId;                                          // struct_ops, sockmap, map element iterator
  __u32 count;                                          // multi links: how many places
  __u32 protocolFamily, hook;                           // netfilter
  __s32 priority;
  __u64 cgroupId, offset;        // offset: of a uprobe in its file
  char group[32];                // a trace event's system
  char target[OVERVIEW_TARGET];  // tracepoint, function, file or iterator; may be cut
};

// An XDP program that could be a dispatcher of the libxdp protocol: by name, and with one read-only map. What the map says decides.
struct DispatcherRecord {
  struct Record record;
  __u32 id, configSize;  // configSize: of the map's value; config has as much of it as there is room
  __u8 config[OVERVIEW_CONFIG];
};

OVERVIEW_ASSERT(sizeof(struct DispatcherRecord) == 16 + OVERVIEW_CONFIG, "layout");
OVERVIEW_ASSERT(sizeof(struct Record) == 8, "layout");
OVERVIEW_ASSERT(sizeof(struct ProgramRecord) == 136, "layout");
OVERVIEW_ASSERT(sizeof(struct MapRecord) == 72, "layout");
OVERVIEW_ASSERT(sizeof(struct LinkRecord) == 248, "layout");

#ifdef __cplusplus
}  // namespace bpfman::bpf
#endif
