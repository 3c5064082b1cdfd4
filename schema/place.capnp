@0xe4a1c7093bd25f68;
# Where a program of which type is attached, and next to whom: part of bpfman's public contract (bpfman.capnp).

$import "/capnp/c++.capnp".namespace("bpfman::schema");

enum ProgramType {
  xdp @0; tc @1; tcx @2; tracepoint @3; rawTracepoint @4; tpBtf @5; kprobe @6; kretprobe @7; uprobe @8; uretprobe @9;
  fentry @10; fexit @11; lsm @12; cgroupSkb @13; rawTracepointWritable @14; kprobeMulti @15; kretprobeMulti @16; kprobeSession @17;
  fmodRet @18; perfEvent @19; iterator @20; lsmCgroup @21; netkit @22; netfilter @23; skLookup @24; flowDissector @25; skMsg @26; skSkb @27;
  skSkbParser @28; skSkbVerdict @29; sockOps @30; cgroupSockCreate @31; cgroupSockRelease @32; cgroupPostBind4 @33; cgroupPostBind6 @34;
  cgroupBind4 @35; cgroupBind6 @36; cgroupConnect4 @37; cgroupConnect6 @38; cgroupConnectUnix @39; cgroupSendmsg4 @40; cgroupSendmsg6 @41;
  cgroupSendmsgUnix @42; cgroupRecvmsg4 @43; cgroupRecvmsg6 @44; cgroupRecvmsgUnix @45; cgroupGetpeername4 @46; cgroupGetpeername6 @47;
  cgroupGetpeernameUnix @48; cgroupGetsockname4 @49; cgroupGetsockname6 @50; cgroupGetsocknameUnix @51; cgroupGetsockopt @52;
  cgroupSetsockopt @53; cgroupSysctl @54; cgroupDevice @55; uprobeMulti @56; uretprobeMulti @57; uprobeSession @58; usdt @59;
  structOps @60; socketFilter @61; skReuseport @62; skReuseportMigrate @63; lwtIn @64; lwtOut @65; lwtXmit @66; lwtSeg6local @67;
  syscall @68;
}

enum Direction { ingress @0; egress @1; section @2; }
# section: of a cgroup_skb program, the one that its section names.

interface Descriptor {}
# Carries one file descriptor beside it (Client::getFd). Whoever receives it owns a duplicate. It says which object is meant, never
# that the sender may have it.

struct Place {
  # Where to attach. netns: absent means the host's network namespace.
  union {
    xdp :group {
      interface @0 :Text; priority @1 :Int32; proceedOn @2 :List(Int32); netns @3 :Descriptor; netnsPath @4 :Text;
      adopt @27 :Bool; adoptedPriority @28 :Int32 = 50;
    }
    # priority: >= 0, lower runs first. proceedOn: verdicts (0 aborted .. 4 redirect, 31 dispatcher_return) after which the next
    # program runs; empty: pass and dispatcher_return. netnsPath is kept and shown only: the descriptor decides.
    # adopt: a program without a dispatcher that runs there already, another tool's, becomes a member with that priority, in one swap, and
    # is given back alone when the last of ours leaves; without it such an interface is refused. Engine tailcall's, on the host's
    # interfaces, for administrators. Where nothing is to be adopted it changes nothing.
    tcx :group { interface @5 :Text; direction @6 :Direction; priority @7 :Int32; netns @8 :Descriptor; netnsPath @9 :Text; }
    tracepoint :group { group @10 :Text; name @11 :Text; }
    rawTracepoint @12 :Text;   # its name; "" takes the section's
    tpBtf @13 :Void;           # fixed at load
    cgroup :group { cgroup @14 :Descriptor; direction @15 :Direction; }
    # cgroup: a directory of cgroup2, opened with O_PATH. direction: cgroup_skb only. The program runs behind those that are there, or next to
    # the one of them that attach's `before` or `after` names (Linux 6.17).
    uprobe :group { binary @16 :Descriptor; offset @17 :UInt64; process @18 :Descriptor; path @19 :Text; function @20 :Text; }
    # Of uprobe and uretprobe. binary: the file, opened with O_PATH. offset: in the file, of the instruction; the client finds it from a
    # symbol. process: a pidfd of the one process to be probed; absent: all. path and function are kept and shown only.
    tc :group {
      interface @21 :Text; direction @22 :Direction; priority @23 :Int32; proceedOn @24 :List(Int32); netns @25 :Descriptor;
      netnsPath @26 :Text;
    }
    # As xdp; verdicts -1 unspec .. 8 trap, 30 dispatcher_return; none: pipe and dispatcher_return. Behind the last program: ok.
    fixed @29 :ProgramType;    # fentry, fexit, fmod_ret or lsm, which it must be: what it is attached to was fixed at load
    kprobe :group { function @30 :Text; offset @31 :UInt64; }
    # function: of the kernel or a module, or FUNCTION+OFFSET; "" takes the section's. offset: bytes behind its start instead of those; none
    # for a kretprobe.
    kprobeMulti @32 :List(Text);
    # Functions, in one link, all or none; none takes the section's. Patterns (*, ?, [) stand for what matches. docs/limits.md
    perfEvent :group {
      event :union { software @33 :UInt64; hardware @34 :UInt64; }   # PERF_COUNT_SW_*, PERF_COUNT_HW_*
      sampling :union { period @35 :UInt64; frequency @36 :UInt64; } # after so many events; or so often a second. From 1
      cpu @37 :Int32 = -1;     # -1: wherever the process runs
      process @38 :Descriptor; # a pidfd; absent: all processes on the CPU
    }
    iterator @39 :UInt32;      # the id of the map of ours that it runs over, and may change; 0: over no map. Link.iterate gives what it says
    netns :group { netns @40 :Descriptor; netnsPath @41 :Text; }
    # Of sk_lookup and flow_dissector.
    netfilter :group {
      family @42 :UInt32; hook @43 :UInt32; priority @44 :Int32; defragment @45 :Bool; netns @46 :Descriptor; netnsPath @47 :Text;
    }
    # family: NFPROTO_IPV4 2, NFPROTO_IPV6 10. hook: NF_INET_* 0 prerouting .. 4 postrouting. priority: the kernel's, lower runs first; neither
    # the least nor the greatest number. defragment: it sees whole packets.
    netkit :group {
      interface @48 :Text; peer @49 :Bool; priority @50 :Int32; netns @51 :Descriptor; netnsPath @52 :Text;
    }
    # interface: the primary of a pair. What it sends, or with peer, what its peer sends. Otherwise as tcx.
    uprobeMulti :group { binary @54 :Descriptor; process @55 :Descriptor; path @56 :Text; spots @57 :List(Spot); function @58 :Text; }
    # As uprobe: 1 .. 2048 places in one link, all or none. function: what the places are, for people.
    structOps @59 :Text;
    # The name of the struct_ops map, of the load that the program belongs to, whose functions the kernel is to call; "": it has only one.
    elsewhere @60 :Void;
    # Nothing that bpfman attaches to: socket_filter and sk_reuseport programs are given to a socket by whoever has it (Program.descriptor), lwt
    # programs to a route by iproute2, by their pin; syscall programs are run (Program.run).
    sockets @53 :UInt32;       # the id of the sockmap or sockhash, of a program of ours, whose sockets' data it sees
  }
}

struct Spot {                  # in a binary
  offset @0 :UInt64;           # in the file, of the instruction
  counter @1 :UInt64;          # in the file, of the 16-bit semaphore that is 1 while somebody probes it; 0: none
  cookie @2 :UInt64;           # bpf_get_attach_cookie() gives it to the program
}

struct Neighbour {             # somebody on the same hook. Each that matches counts; none that does is an error
  union { link @0 :UInt32; program @1 :UInt32; name @2 :Text; }   # bpfman's link id, the kernel's program id, the function's name
}

struct Planned {
  linkId @0 :UInt32;           # 0: the program that is to be attached, or a foreign one
  programId @1 :UInt32;
  programName @2 :Text;        # of a foreign one: ""
  priority @3 :Int32;
  foreign @4 :Bool;            # not bpfman's: shown and counted, never moved
  wanted @5 :Bool;             # the one that is to be attached
  reason @6 :Text;             # why it is here
}
