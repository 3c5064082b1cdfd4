@0xb8f2d1e6a4c39075;
# bpfman's public contract, served on RUNTIME_DIR/bpfman.sock (two-party Cap'n Proto RPC on a Unix stream socket, with descriptor
# passing). One interface per power, and a power is a capability that you hold: connecting gives what the policy grants, and each
# capability can be handed on. Sources of what is said: "kernel" = read from the kernel at that moment; "catalogue" = what was asked
# of bpfman and is kept in its database.
#
# Errors are exceptions whose text says what was wrong and what to do. Their type: `failed` (the request can't be carried out as it
# is), `overloaded` (a limit was reached: nothing was done, try later), `disconnected` (the daemon restarts: connect again, and look
# what was done), `unimplemented`. The verifier's refusal is no exception but an answer, because its log belongs to it.
#
# Limits: 1 MiB a message, 4 descriptors a message, and as docs/limits.md says. Ids: program, map and (kernel) link ids are the
# kernel's, 32 bit; link ids are bpfman's own, never reused, 1 .. 2^31-1. Times are nanoseconds since 1970 unless said otherwise.

$import "/capnp/c++.capnp".namespace("bpfman::schema");

using Kernel = import "kernel.capnp";
using KernelProgram = Kernel.KernelProgram;
using KernelMap = Kernel.KernelMap;
using KernelLink = Kernel.KernelLink;
using Overview = Kernel.Overview;
using import "load.capnp".Global;
using import "load.capnp".Signature;
using import "take.capnp".KeyValue;
using import "take.capnp".TakeOptions;
using import "token.capnp".Tokens;
using At = import "place.capnp";
using ProgramType = At.ProgramType;
using Direction = At.Direction;
using Descriptor = At.Descriptor;
using Place = At.Place;
using Neighbour = At.Neighbour;
using Planned = At.Planned;

interface Daemon {
  # What every connection begins with. The caller was identified (uid, all groups, and where the kernel tells it cgroup and
  # namespaces) before its first byte was read. From another user namespace than the daemon's, uid 0 and group `bpfman` give nothing.

  version @0 () -> (version :Text, protocol :UInt32, engine :Text, engineReason :Text, tcEngine :Text, tcEngineReason :Text);
  # For anyone. `protocol` grows when something is added. `engine` is how XDP programs share an interface here ("libxdp", "tailcall"), and
  # `tcEngine` how TC programs do ("tailcall", "freplace"), unless a load names another.

  whoAmI @1 () -> (uid :UInt32, gids :List(UInt32), roles :List(Text),
                   cgroup :UInt64, userNamespace :UInt64, networkNamespace :UInt64, unknown :Text);
  # For anyone: how the daemon sees the caller, and the policy's roles for him. Where the process is that connected: its cgroup's id (the
  # inode of its directory in cgroup2), the inodes of its namespaces, as they were then. All 0 where that can't be known: `unknown` says why.

  enter @2 () -> (programs :Programs, links :Links, overview :Overview, audit :Audit, tokens :Tokens);
  # The powers. One that the policy does not grant is there too: each call of it fails and says which role is missing.
}

# RequestId: 0 .. 64 random bytes, chosen by the client; empty: none. When an answer was lost (the connection, or the daemon, ended), the
# same call with the same id answers what the first one made, if that is still there, and makes it if the first one did not. Ids of one
# user are not another's. What has no request id may be repeated safely: a second unload or detach says that there is nothing, a second
# update sets the same value.

# ---- loading ----

interface Programs {
  upload @0 (size :UInt64) -> (sink :ByteSink);
  # Bytecode as a stream, for a client that cannot pass descriptors. size: bytes, 1 .. 16 MiB.

  load @1 (bytecode :Bytecode, options :LoadOptions) -> LoadAnswer;
  # Loads the named programs of one object, all or none. Programs of one load share that object's maps. Not idempotent: each call
  # loads anew, unless it has the request id of one that was carried out. Needs the right to load each program's type.

  list @2 (filter :ProgramFilter) -> (programs :List(ProgramEntry));
  # Ascending by id. Own programs only, unless filter.all.

  get @3 (id :UInt32) -> (program :Program, details :ProgramDetails);
  # One of bpfman's programs by its kernel id. Fails with "record not found" for any other (see Overview).

  take @4 (program :Descriptor, options :TakeOptions) -> (program :Program, details :ProgramDetails);
  # A program that the client loaded itself becomes one of bpfman's (take.capnp). Needs the right to load its type.
}

interface ByteSink {
  write @0 (bytes :Data) -> stream;
  done @1 () -> (bytecode :UInt64);
  # All `size` bytes must have come. The number names the upload in Bytecode.uploaded, on this connection, once.
}

struct Bytecode {
  union {
    memfd @0 :Descriptor;      # sealed: F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL; 1 byte .. 16 MiB
    uploaded @1 :UInt64;
  }
  sourcePath @2 :Text;         # where the client had it from: kept and shown, never opened
}

struct LoadOptions {
  programs @0 :List(Wanted);   # 1 .. 64, names different; or allPrograms
  globals @1 :List(Global);
  metadata @2 :List(KeyValue);
  application @3 :Text;        # kept as metadata bpfman.io/application
  mapOwner @4 :UInt32;         # 0, or the id of a program of ours whose maps (by ELF name) are used instead of new ones
  requestId @5 :Data;          # see RequestId
  persistent @6 :Bool;         # the programs and their links outlive a reboot, and links come back with their interface (docs/persistence.md)
  engine @7 :Text;             # "libxdp" (XDP), "freplace" (TC), "tailcall"; "", "auto": the host's, or tailcall where the object can't be an extension
  allPrograms @8 :Bool;        # instead of `programs`, which is empty: all that the object has, but those whose section begins with "?"
  logLevel @9 :UInt32;         # the verifier's log also when it accepts: bits 1 (each instruction), 2 (and each state), 4 (statistics). 0: none
  mapSizes @10 :List(MapSize); # max_entries of these maps instead of the object's. Fails for maps that it does not have or uses of another
                               # program, and for those whose size is fixed by what they are; the limit of map memory holds
  kernelTypes @11 :Descriptor; # a sealed memfd, 1 byte .. 16 MiB: BTF, raw or in an ELF file, of a kernel to whose structs the object is fitted
                               # (CO-RE) instead of this kernel's. Absent: this kernel's own
  alternatives @12 :List(List(Wanted));   # 0 .. 8: what is loaded instead of `programs` where this host has no such hook, or its kernel refuses
                               # them; the first list that it takes. The answer's types say which. The right to load each is needed
  signatures @13 :List(Signature);        # at most one for each program; the kernel verifies them, or lacks that and refuses the load
  toSign @14 :Bool;            # the answer has each program's instructions as a signature covers them

  struct Wanted {
    type @0 :ProgramType;
    name @1 :Text;             # the function's name in the object
    attachTo @2 :Text;         # the function, security hook, tracepoint …; "": the one that the section names. Of fentry, fexit and fmod_ret
                               # also "ID" or "ID/FUNCTION": a program of ours (its own function), for who may change it; of these and tp_btf
                               # "MODULE:NAME": of a module of the kernel that is loaded. NAME alone: of the kernel, else of the module that has it
    inferType @3 :Bool;        # the type is what its section says; `type` is ignored
  }
  struct MapSize { name @0 :Text; entries @1 :UInt32; }   # entries: 1 .. 2^32-1; of ring buffers bytes
}

struct LoadAnswer {
  union {
    loaded @0 :List(Loaded);
    refused @1 :Refusal;
  }
  warnings @2 :List(Text);     # of what was loaded
  struct Loaded {
    program @0 :Program;
    details @1 :ProgramDetails;
    verifierLog @2 :Text;      # with logLevel; cut in its middle, so that those of all programs have 256 KiB together
    toSign @3 :Data;           # with toSign; fails where all programs have more than 640 KiB together
  }
}

struct UpdateOptions {
  globals @0 :List(Global);    # empty: as the old one was loaded
  name @1 :Text;               # the function; "": of the same name
  confirmWithin @2 :UInt32;    # as Links.change; the old program stays loaded meanwhile
  requestId @3 :Data;          # see RequestId
  signatures @4 :List(Signature);         # of the new one: at most one
}

struct UpdateAnswer {
  union {
    updated :group { program @0 :Program; details @1 :ProgramDetails; waiting @3 :List(WaitingChange); }
    refused @2 :Refusal;
  }
}

struct Refusal {
  reason @0 :Text;             # one line
  verifierLog @1 :Text;        # the kernel's log, cut in its middle above 256 KiB; "" if the kernel wrote none
  summary @2 :Text;            # a few lines of it: the source line, the instruction, the complaint; "" where there is none
}

# ---- programs ----

interface Program {
  get @0 () -> (details :ProgramDetails);
  attach @1 (place :Place, metadata :List(KeyValue), requestId :Data, before :List(Neighbour), after :List(Neighbour))
         -> (link :Link, details :LinkDetails);
  # Not idempotent: attaching twice makes two links (TCX: refused, as the kernel does), unless both calls have the same request id.
  # Atomic for packets. before, after: its place among those that are on the hook already, wherever its priority would put it, unless
  # the administrator's rules say otherwise (docs/ordering.md).
  unload @2 ();
  # Detaches all its links first. Afterwards each call on this capability fails with "record not found".
  maps @3 () -> (maps :List(NamedMap));
  # The maps of its load, with the power to read each; descriptors and writing need rights of their own (Map).

  narrow @4 (narrowing :Narrowing) -> (program :Program, revoker :Revoker);

  plan @5 (place :Place, before :List(Neighbour), after :List(Neighbour)) -> (now :List(Planned), then :List(Planned));
  # What attach with the same arguments would do to the order, or the error that it would give. Changes nothing. XDP, TC and TCX.

  update @6 (bytecode :Bytecode, options :UpdateOptions) -> UpdateAnswer;
  # Other bytecode for this program: loaded, put in its place in all its links (XDP and TC) in one change, and the old one unloaded. Its maps
  # (by name, without global variables) are used again, so that what they hold goes on; link ids stay; the program's id is the kernel's and
  # so a new one. All or nothing. Needs what load and unload need, and the right to write the maps.

  set @7 (variables :List(Global));
  # Changes variables of .data and .bss while the program runs: all or none; exactly the bytes (and bits) that are named, aligned numbers of
  # up to 8 bytes in one store each. 1 .. 256 variables. Fails for those of .rodata, which the kernel has frozen: set them at load. Needs
  # the right to write the maps. It is not kept: what is loaded again after a reboot begins with the values of the load.

  variables @8 () -> (variables :List(Variable));
  # All of the object's global variables, in the order of their sections and names. Needs the right to read the maps.

  descriptor @9 () -> (descriptor :Descriptor);
  # The program itself, for setsockopt(SO_ATTACH_BPF or SO_ATTACH_REUSEPORT_EBPF) on a socket of the caller's, which needs no privilege. Of
  # socket_filter and sk_reuseport programs only. Needs what attach needs. It runs until the socket is closed, another program takes its place
  # or SO_DETACH_BPF takes it away, also when it was unloaded here. A descriptor once received can't be taken back.

  run @10 (context :Data) -> (result :UInt32, context :Data);
  # A syscall program, once, in a fresh process without privilege: what it calls in the kernel, bpf(2) included, is refused as it would be to
  # anyone. context: 0 .. 65535 bytes, and as it left them. Needs what attach needs. Fails after limits.verifier_seconds; the run then goes on
  # in the kernel, which ends no program. Not idempotent.

  struct NamedMap { name @0 :Text; id @1 :UInt32; map @2 :Map; }
  struct Variable {
    name @0 :Text;
    section @1 :Text;          # ".data", ".bss", ".rodata", …
    type @2 :Text;             # as C writes it; "" when the object has no BTF
    size @3 :UInt32;           # bytes
    value @4 :Text;            # JSON, as it is now; "" when it can't be told: no BTF, too much (256 KiB for all), or the section is not readable
  }
}

# Narrowing: a capability with less power, for handing on over a connection between clients. What comes from it (the links that it
# attaches, the maps that it lists) is narrowed in the same way, and narrowing again only takes away. What is done with it counts as done by
# whoever narrowed it: his rights, his limits, his lines in the audit; it ends with his connection.

struct Narrowing {
  readOnly @0 :Bool;           # only to look: get, info, maps, variables, and reading elements, over the RPC or by an iterator
  interfaces @1 :List(Text);   # attach to these only, by name; empty: any. Hooks without an interface are then out of reach
  noDescriptors @2 :Bool;      # no map leaves as a descriptor, an iterator or a ticket, and no program as a descriptor
}

interface Revoker {
  # Held by whoever narrowed. Dropping it revokes nothing.
  revoke @0 () -> (handedOver :List(HandedOver));
  # From now on each call on the narrowed capability, and on all that came from it, fails; those under way are answered with an error (a
  # change that was begun is finished); tickets that were not redeemed are void. The answer lists what can't be taken back: the
  # descriptors that were received. Revoking twice answers the same.
}

struct HandedOver {
  mapId @0 :UInt32;            # 0: a program's
  access @1 :Map.Access;
  at @2 :Int64;
  programId @3 :UInt32;
}

struct ProgramRecord {         # catalogue
  id @0 :UInt32;
  name @1 :Text;               # the function's full name
  type @2 :ProgramType;
  attachTo @3 :Text;
  objectPath @4 :Text;         # our copy of the bytecode; "": it was handed over (Programs.take), and bpfman has none
  sourcePath @5 :Text;
  globals @6 :List(Global);
  metadata @7 :List(KeyValue);
  application @8 :Text;
  license @9 :Text;
  gplCompatible @10 :Bool;
  pinPath @11 :Text;
  mapPinPath @12 :Text;
  mapOwner @13 :UInt32;        # 0: none
  uid @14 :UInt32;             # for whom it was loaded
  createdAt @15 :Int64;
  persistent @16 :Bool;
  notLoaded @17 :Text;         # of a persistent one that the kernel does not have now: why. Its id, above 2^31, is then none of the kernel's
}

struct ProgramDetails {
  record @0 :ProgramRecord;
  kernel @1 :KernelProgram;
  kernelSeen @2 :Bool;         # false: the kernel no longer has it (kernel is then empty)
  links @3 :List(LinkDetails);
  maps @4 :List(MapDetails);   # of its load
  mapUsedBy @5 :List(UInt32);  # the programs that use its maps, itself included
}

struct MapDetails {
  kernel @0 :KernelMap;
  name @1 :Text;               # in the object, full
  pinPath @2 :Text;            # "" when it has no public pin
  present @3 :Bool;            # the pin is there
  pinnedByName @4 :Bool;       # it is the one of this name of its owner's application: his other loads with such a map share it
  sharedWith @5 :List(UInt32); # programs of other loads that have it, for whatever reason
  unused @6 :Bool;             # this program does not refer to it: another one of the load does, or none, as of a sockmap or a struct_ops
}

struct ProgramFilter {
  all @0 :Bool;                # also programs that bpfman did not load
  types @1 :List(Text);        # names as in ProgramEntry.type; empty: all
  application @2 :Text;
  metadata @3 :List(KeyValue); # each must match
  attached @4 :Attached;
  enum Attached { any @0; attached @1; unattached @2; }
}

struct ProgramEntry {
  id @0 :UInt32;
  managed @1 :Bool;
  type @2 :Text;               # "xdp", "tcx", …; of a foreign program the kernel's type ("schedcls", "tracing", …)
  functionName @3 :Text;
  application @4 :Text;
  linkIds @5 :List(UInt32);    # bpfman's
  record @6 :ProgramRecord;    # only if managed
  kernel @7 :KernelProgram;
}

# ---- links ----

interface Links {
  list @0 (filter :LinkFilter) -> (links :List(LinkRecord));
  get @1 (id :UInt32) -> (link :Link, details :LinkDetails);
  dispatchers @2 (type :Text, nsid :UInt64, ifindex :UInt32) -> (dispatchers :List(Dispatcher));
  # The chains that bpfman keeps; "" and 0 match any. Empty when there is none.

  change @3 (steps :List(ChangeStep), confirmWithin :UInt32, requestId :Data) -> (links :List(LinkRecord), waiting :List(WaitingChange));
  # All of it or nothing, of XDP and TC links: each chain changes once, atomically for packets, and when one can't be changed the others
  # get back what they had. steps: 1 .. 64, in their order. links: those that were made or changed.
  # confirmWithin: seconds, 0 .. 86400; 0: it holds at once. Else it is taken back after them, unless it is confirmed (then `waiting` has
  # one entry), also if any process died meanwhile; until then nothing else can change these chains.

  waiting @4 () -> (changes :List(WaitingChange));
  # All changes that wait to be confirmed.
  confirm @5 (id :UInt32);
  # It holds. For whoever made it, and administrators. Fails when it is too late.
  revert @6 (id :UInt32);
  # Takes it back now. Likewise.

  count @7 (type :Text, nsid :UInt64, ifindex :UInt32, counting :Counting);
  # Switches what the dispatcher on that hook counts of each member. No packet is lost and no counter reset; it stays over changes of the
  # chain and restarts, until the chain goes. For administrators, and for who has a program of his own in the chain.

  park @8 (type :Text, interface :Text, netns :Descriptor, netnsPath :Text, parked :Bool);
  # A dispatcher that is parked stays on its interface also without members: the first attach and the last detach then change only the
  # chain, and no driver is reset. Made if there is none; parked false: it goes with its last member, or now. For administrators. netns:
  # as in Place.
}

struct ChangeStep {
  union {
    attach :group {
      programId @0 :UInt32; place @1 :Place; metadata @2 :List(KeyValue); before @3 :List(Neighbour); after @4 :List(Neighbour);
    }
    # As Program.attach.
    detach @5 :UInt32;         # a link
    modify :group { link @6 :UInt32; priority @7 :Int32; proceedOn @8 :List(Int32); running @9 :Running; }
    # priority: -1 as it is. proceedOn: empty as it is.
  }
  enum Running { asItIs @0; paused @1; resumed @2; }
  # A member that pauses stays attached and keeps its place and its maps, but no packet sees it; what the dispatcher counted of it is forgotten.
}

struct WaitingChange {
  id @0 :UInt32;
  until @1 :Int64;             # then it is taken back
  inKernel @2 :Bool;           # by the kernel, also when no process of bpfman lives; else by the daemon, or when it starts again
  uid @3 :UInt32;              # for whom
  links @4 :List(UInt32);      # that it changed
  replaced @5 :UInt32;         # of an update: the program of before, which is kept until then; else 0
  replacement @6 :UInt32;
}

enum Counting {
  off @0;
  verdicts @1;                 # what became of each packet at each member
  time @2;                     # and how long each member ran; this costs each packet a reading of the clock for each member
}

interface Link {
  get @0 () -> (details :LinkDetails);
  detach @1 ();
  # The kernel's link is gone when this returns. Detaching twice fails with "link N does not exist".
  narrow @2 (narrowing :Narrowing) -> (link :Link, revoker :Revoker);
  iterate @3 () -> (descriptor :Descriptor);
  # Of an iterator: to be read once, from its beginning; each call gives another. Reading runs the program, in the kernel, for each element.
}

struct LinkFilter {
  programId @0 :UInt32;        # 0: any
  kinds @1 :List(Text);
  application @2 :Text;        # of the program
  metadata @3 :List(KeyValue); # of the program
}

struct LinkRecord {
  id @0 :UInt32;
  programId @1 :UInt32;
  kernelLinkId @2 :UInt32;     # XDP and TC under the tailcall engine: the dispatcher's link; 0: it has none (TC by a clsact filter)
  kind @3 :ProgramType;
  pinPath @4 :Text;            # XDP and TC under the tailcall engine: the member's pin
  createdAt @5 :Int64;
  metadata @6 :List(KeyValue);
  programName @7 :Text;
  application @8 :Text;
  interface @9 :Text;
  ifindex @10 :UInt32;
  direction @11 :Direction;
  priority @12 :Int32;
  position @13 :Int32;         # 0 runs first; -1: not in the chain
  proceedOn @14 :List(Int32);
  netnsPath @15 :Text;
  nsid @16 :UInt64;            # inode of the network namespace
  dispatcherId @17 :UInt32;    # kernel program id
  revision @18 :UInt32;
  target @19 :Text;            # tracepoint: "group/name"; raw_tp, tp_btf: the name
  paused @20 :Bool;            # attached, but no packet sees it
  waitingChange @21 :UInt32;       # the change that waits to be confirmed and touched its chain; 0: none
  persistent @22 :Bool;        # it is attached again after a reboot: its program is persistent, and its target can be found again
  waiting @23 :Text;           # of a persistent one that is not attached now: why, for instance "interface eth5 is not there". "": it is attached
}

struct LinkDetails {
  record @0 :LinkRecord;
  kernel @1 :KernelLink;
  kernelSeen @2 :Bool;
  pinPresent @3 :Bool;
}

struct Dispatcher {
  type @0 :Text;               # "xdp", "tc-ingress", "tc-egress"
  nsid @1 :UInt64;
  ifindex @2 :UInt32;
  revision @3 :UInt32;         # +1 with each change of the chain
  programId @4 :UInt32;
  kernelLinkId @5 :UInt32;
  netnsPath @6 :Text;
  members @7 :List(Member);    # as they run
  engine @8 :Text;
  filterPriority @9 :UInt32;   # TC by a clsact filter: its priority and handle; 0: attached by a link
  filterHandle @10 :UInt32;
  counting @11 :Counting;      # kernel
  noCounters @12 :Text;        # why it can't be switched on; "": it can
  parked @13 :Bool;            # it stays also without members

  struct Member {
    programId @0 :UInt32;
    programName @1 :Text;
    programPinPath @2 :Text;
    linkId @3 :UInt32;
    kernelLinkId @4 :UInt32;
    linkPinPath @5 :Text;
    position @6 :UInt32;
    priority @7 :Int32;
    proceedOn @8 :UInt32;      # bit = 1 << verdict
    interface @9 :Text;
    metadata @10 :List(KeyValue);
    foreign @11 :Bool;         # another tool's, which keeps to the libxdp protocol or was adopted: ids and names as the kernel has them, no pins of ours
    counters @12 :Counters;    # unless counting is off
  }

  struct Counters {            # kernel: what became of packets at a member, all CPUs together, since it joined the chain, while it was counted
    seen @0 :UInt64;           # the sum of the others
    passedOn @1 :UInt64;       # the next member ran, or there was none
    finals @2 :List(Final);    # those whose last verdict it gave; verdicts that none had are left out
    otherFinals @3 :UInt64;    # with a verdict that the hook does not know
    timedRuns @4 :UInt64;      # while time was measured
    nanoseconds @5 :UInt64;    # of these runs, measuring included

    struct Final { verdict @0 :Int32; packets @1 :UInt64; }
  }
}

# ---- maps ----

interface Map {
  info @0 () -> (kernel :KernelMap, name :Text);
  lookup @1 (key :Data) -> (found :Bool, value :Data);
  # key: exactly key_size bytes. value: value_size bytes; of a per-CPU map value_size, rounded up to 8, for each possible CPU.
  read @2 (after :Data, limit :UInt32) -> (entries :List(Entry), more :Bool);
  # Keys in the kernel's order, beginning behind `after` (empty: at the start). limit: 1 .. 4096 entries; an answer may have fewer.
  descriptor @3 (access :Access) -> (descriptor :Descriptor);
  # The map itself. Needs the right `descriptor`. A read-only descriptor prevents mistakes, not an adversary: its holder can pin the
  # map and open it for writing. A descriptor once received can't be taken back.
  update @4 (key :Data, value :Data);
  # Needs the right `write`. Sets or replaces one element.
  narrow @5 (narrowing :Narrowing) -> (map :Map, revoker :Revoker);
  ticket @6 (access :Access) -> (ticket :Data);
  # The descriptor for a client whose library can't receive one: 32 random bytes, good for 30 s, once, and for the user who asked.
  # Whoever connects to RUNTIME_DIR/fd.sock as that user and sends them gets one byte, and with a 0 byte exactly one descriptor; 1: there is
  # no such ticket (any more), 2: it is another user's, 3: the map or the right to it is gone. Needs the same rights as `descriptor`.

  iterate @7 () -> (descriptor :Descriptor);
  # An iterator over the elements. Needs the right `read` only, as nothing can be written through it: it is no map. Reading it to its end
  # gives each key (key_size bytes) and its value behind it, raw, without anything between: value_size bytes; of a per-CPU map
  # value_size rounded up to 8 for each possible CPU, in the order of the CPUs. What changes meanwhile may be there or not. It is read once:
  # ask for another. Maps that the kernel can iterate: hash, LRU hash, array, and the per-CPU ones of these, with key and value below
  # 32 KiB together. Others (prog arrays, maps of maps, LPM tries, queues, ring buffers, …) fail with "the kernel has no iterator over the
  # elements of a map of type T". The same by a ticket: `ticket` with access `elements`.

  struct Entry { key @0 :Data; value @1 :Data; }
  enum Access { read @0; write @1; readWrite @2; elements @3; }
}

# ---- the audit ----

interface Audit {
  # For administrators.
  read @0 (filter :AuditFilter) -> (lines :List(Text));
  # One JSON object each, oldest first, as docs/audit.md describes them: the newest `limit` of those that match.
}

struct AuditFilter {           # what is not set matches all
  limit @0 :UInt32 = 100;      # 1 .. 1000 lines
  user :union { any @1 :Void; uid @2 :UInt32; }
  programId @3 :UInt32;
  linkId @4 :UInt32;
  action @5 :Text;
  since @6 :Text;              # a time, or its beginning: "2026-11-23T10"
  failedOnly @7 :Bool;
}
