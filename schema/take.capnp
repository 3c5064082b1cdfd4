@0xc37e5a90b1d4682f;
# What a client says of a program that it loaded itself and hands over, and the pairs that are kept with anything: part of bpfman's public
# contract (bpfman.capnp). From then on the program is attached, ordered, shown and kept over restarts like one that bpfman loaded, but bpfman
# has neither its bytecode nor its maps: what needs these fails (update, set, variables, a map owner), and after a reboot it is gone. Unloading
# it drops bpfman's pins and links; whoever else holds it goes on. Of XDP and TC it is for engine tailcall. A program that bpfman has already
# is refused, unless the request id is that of the call that took it.

$import "/capnp/c++.capnp".namespace("bpfman::schema");

using At = import "place.capnp";

struct KeyValue { key @0 :Text; value @1 :Text; }

struct TakeOptions {
  type @0 :At.ProgramType;     # the kernel must agree, as far as it tells
  name @1 :Text;               # the function's; "": the kernel's name for it, which has at most 15 characters. Else it must begin with that
  attachTo @2 :Text;           # of types that are fixed at load (fentry, lsm, tp_btf, iter, …): for what it was loaded, which the kernel must
                               # agree to; of others what is used where attach names nothing
  metadata @3 :List(KeyValue);
  application @4 :Text;        # kept as metadata bpfman.io/application
  requestId @5 :Data;          # as for a load
  sourcePath @6 :Text;         # where the client had it from: kept and shown, never opened
}
