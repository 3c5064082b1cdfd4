@0xa6d90f3b7c2e5184;
# BPF tokens (Linux 6.9): part of bpfman's public contract (bpfman.capnp). A container that has a user namespace of its own, and CAP_BPF in it,
# may then call bpf(2) itself as far as was delegated to it: what it loads is not bpfman's, unless it is handed over (Programs.take). A token
# bounds types, not targets, amounts or helpers: docs/tokens.md.

$import "/capnp/c++.capnp".namespace("bpfman::schema");

using At = import "place.capnp";

struct Delegation {
  # Words as the lists of programs and maps have them, or the kernel's; "_" does not matter. What is not named is not delegated.
  commands @0 :List(Text);     # map_create, prog_load, btf_load
  mapTypes @1 :List(Text);     # hash, array, ringbuf, …
  programTypes @2 :List(Text); # the kernel's: xdp, sched_cls, kprobe, …
  attachTypes @3 :List(Text);  # with which such programs may be loaded: xdp, tcx_ingress, …; cgroup_inet_ingress is also "none", 0
}

struct TokenRecord {           # catalogue
  id @0 :UInt32;
  uid @1 :UInt32;              # for whom
  createdAt @2 :Int64;
  delegation @3 :Delegation;
  process @4 :UInt32;          # which connected, as the host numbers it; it may be gone
  userNamespace @5 :UInt64;    # its, then: the inode; 0: not known
  cgroup @6 :UInt64;           # its, then: the id; 0: not known
  withdrawn @7 :Bool;
}

interface Tokens {
  create @0 (context :At.Descriptor, delegation :Delegation) -> (token :TokenRecord);
  # context: what fsopen("bpf") gave in the client's own user namespace, nothing done with it yet. When this returns it is created: the client
  # makes a mount of it (fsmount, move_mount), and of that tokens (BPF_TOKEN_CREATE), as many as it likes. Needs a role with `tokens`, and its
  # classes for all types of programs that may then be loaded. Not idempotent; a context serves once.

  list @1 () -> (tokens :List(TokenRecord));
  # Everybody's of this boot, ascending by id. The kernel tells nobody whether one is still mounted.

  withdraw @2 (id :UInt32) -> (live :List(TokenRecord));
  # From now on nothing is delegated to its user, until all that were withdrawn are forgotten. The kernel takes nothing back: the answer lists
  # all of that user's; each lives until its mounts and tokens are closed, or its container ends. His own, or an administrator's.

  forget @3 (id :UInt32);
  # Of one that is known to be gone: it is not listed any more. For administrators.
}
