@0x90d281ef9b5e5d4e;
# What the kernel says about its programs, maps and links, anyone's: part of bpfman's public contract (bpfman.capnp, Overview).

$import "/capnp/c++.capnp".namespace("bpfman::schema");

using import "place.capnp".ProgramType;

interface Overview {
  programs @0 () -> (programs :List(KernelProgram));
  maps @1 () -> (maps :List(KernelMap));
  links @2 () -> (links :List(KernelLink));
  attachments @3 () -> (attachments :List(Attachment), notes :List(Text));
  # What runs where, with and without links: also XDP attached by netlink, clsact filters, TCX and cgroup programs of anyone.
  # notes: what could not be looked at, and why.

  hooks @4 () -> (hooks :List(HookSupport));
  # Which types of programs this host can load and attach, found by trying. In the order of docs/hooks.md.

  memory @5 () -> (users :List(UserMemory));
  # The kernel's memory of what each user has loaded by bpfman, most first: a program's pages, and all elements of a map, whether they are
  # there yet or not. A map that several loads share counts for the oldest of them.
}

struct UserMemory {
  uid @0 :UInt32;
  programs @1 :UInt32;
  maps @2 :UInt32;
  bytes @3 :UInt64;
}

struct HookSupport {
  type @0 :ProgramType;
  programClass @1 :Text;       # "network", "cgroup", "observe", "control": what a role must be given
  missing @2 :Text;            # why this host has none; "": it has
  kinds @3 :List(Text);        # of struct_ops: which of the kernel's ("tcp_congestion_ops", "sched_ext_ops")
}

struct Known {
  # A number that the kernel may not let us read.
  union { value @0 :UInt64; unknown @1 :Text; }   # unknown: the reason
}

struct KernelProgram {         # kernel
  id @0 :UInt32;
  type @1 :UInt32;             # BPF_PROG_TYPE_*
  typeName @2 :Text;           # "xdp", "schedcls", "tracing", "extension", …
  name @3 :Text;               # at most 15 characters
  tag @4 :Text;                # 16 hex digits
  loadedAt @5 :Int64;
  uid @6 :UInt32;              # who called bpf(): of our programs the worker
  btfId @7 :UInt32;            # 0: none
  mapIds @8 :List(UInt32);
  xlatedSize @9 :UInt32;       # bytes
  jitedSize @10 :UInt32;       # bytes; 0: not jited
  verifiedInstructions @11 :UInt32;
  memlock @12 :UInt64;         # bytes
  runTime @13 :Known;          # ns, all CPUs
  runCount @14 :Known;
  recursionMisses @15 :Known;
  gplCompatible @16 :Bool;
}

struct KernelMap {             # kernel
  id @0 :UInt32;
  type @1 :UInt32;
  typeName @2 :Text;           # "array", "percpuarray", "hash", "ringbuf", …
  name @3 :Text;
  keySize @4 :UInt32;
  valueSize @5 :UInt32;
  maxEntries @6 :UInt32;
  flags @7 :UInt32;
  btfId @8 :UInt32;
  extra @9 :UInt64;
  memlock @10 :UInt64;         # bytes
  frozen @11 :Bool;
}

struct KernelLink {            # kernel
  id @0 :UInt32;
  programId @1 :UInt32;
  type @2 :UInt32;
  typeName @3 :Text;           # "xdp", "tcx", "perf_event", "raw_tracepoint", "tracing", "cgroup", …
  attachType @4 :UInt32;
  ifindex @5 :UInt32;
  netns @6 :UInt64;            # inode
  cgroupId @7 :UInt64;
  targetProgramId @8 :UInt32;
  targetBtfId @9 :UInt32;
  target @10 :Text;            # the tracepoint's name, where there is one
}

struct Attachment {
  programId @0 :UInt32;
  linkId @1 :UInt32;           # kernel; 0: attached without a link
  hook @2 :Text;               # "xdp", "tcx ingress", "tc ingress", "cgroup_skb egress", "tracepoint", …
  target @3 :Text;             # readable: "eth0", "sys_enter_kill", the cgroup's path
  ifindex @4 :UInt32;
  nsid @5 :UInt64;
  position @6 :Int32;          # in its hook, 0 runs first; -1: unknown
  how @7 :Text;                # "link", "netlink", "filter", "attach"
  managed @8 :Bool;
}
