@0xd2c1a7b35e8f4a90;
# The one job of a loader: one message each way over its SOCK_SEQPACKET job socket (flat words; above 64 KiB in a sealed memfd that
# travels beside an empty packet). The loader is not trusted: the frontend checks what the kernel loaded, not what stands here.

$import "/capnp/c++.capnp".namespace("bpfman::schema");

struct LoadJob {
  # Descriptor 0: the object, a memfd sealed against change; or, with `run`, a program. Then, with `otherTypes`, a second one. The last one,
  # when the job itself is larger than 64 KiB: this message.
  programs @0 :List(Wanted);
  globals @1 :List(Global);
  reuse @2 :List(Text);      # names of maps that are not created but taken from the session: handle i is reuse[i]
  kernelRelease @3 :Text;    # as uname says
  inspectOnly @4 :Bool;      # only list what the object has: nothing is loaded
  listFunctions @5 :Bool;    # say the BTF ids of the object's global functions
  listVariables @6 :Bool;    # say all global variables, with their values; `contents` says what they are now
  contents @7 :List(Content);
  logLevel @8 :UInt32;       # of the verifier, as bpf(2) takes it; 0: a log only when it refuses
  mapSizes @9 :List(MapSize);
  otherTypes @10 :Bool;      # the file that came second is the BTF of the kernel that the object is made for: raw, or in an ELF file
  shared @11 :List(Text);    # likewise, of maps that the object pins by name: their handles come behind those of reuse
  run @12 :Bool;             # a loader's first and only job: run the program, of type syscall, once
  context @13 :Data;         # what it gets, 0 .. 65535 bytes
  toSign @15 :Bool;          # say the instructions as a signature covers them, and load them so
  modules @14 :List(Module); # of the kernel, as the session has them: module i + 1 is modules[i]. In the job that answers `wanting`

  struct Module { name @0 :Text; types @1 :Data; }       # types: its BTF, behind the kernel's own

  struct Content { section @0 :Text; bytes @1 :Data; }   # of a map that holds variables, all of it
  struct MapSize { name @0 :Text; entries @1 :UInt32; }

  struct Wanted {
    name @0 :Text;           # the function's name
    type @1 :UInt32;         # BPF_PROG_TYPE_*: what the grant says. The ELF section must agree, or the job fails. 0, with inspectOnly: not known
    expectedAttachType @2 :UInt32;
    attachTo @3 :Text;       # "" or the function or hook that replaces the one in the section's name
    family @4 :Text;         # the caller's word for the type ("xdp", "tcx", "tracepoint", …), for messages
    flags @5 :UInt32;        # BPF_F_* to load it with: what the grant says
    target @6 :UInt32;       # 0, or a function's id in the BTF of the program that the session knows: what it extends or watches, whatever
                             # `attachTo` and the section say
    function @7 :FunctionAt; # of a struct_ops program: where the kernel wants it
    targetModule @8 :UInt32; # 0, or in which of the session's modules `target` is
    signature @9 :Data;      # PKCS#7 over its instructions, for the kernel; empty: none
    keyring @10 :Int32;      # of the signature, as bpf(2) takes it
  }
  struct FunctionAt {
    valueType @0 :UInt32;    # of which struct_ops map: its value's, in the kernel's BTF
    offset @1 :UInt32;       # bytes, in that value
  }
  struct Global {
    name @0 :Text;           # a variable of .rodata, .data or .bss (also .rodata.x …)
    value @1 :Data;          # exactly as long as the variable
    json @2 :Text;           # unless it is "": the value, as bpfman.capnp's Global has it; then `value` is empty
  }
}

struct LoadResult {
  union {
    failed @0 :Failure;
    done @1 :Done;
    ran @2 :Ran;
    wanting @3 :Wanting;     # instead of an answer, once: the object may need modules of the kernel. The same job is to come again, with those
  }                          # that have what the kernel itself lacks

  struct Wanting {
    symbols @0 :List(Text);  # functions and variables of the kernel that it uses
    types @1 :List(Text);    # that it is fitted to (CO-RE)
  }

  struct Failure {
    reason @0 :Text;         # one line, says what to do
    errno @1 :Int32;         # the kernel's, or 0
    verifierLog @2 :Text;    # empty, or the log of the program that the kernel refused, cut in its middle above 256 KiB
    summary @3 :Text;        # empty, or what of it says where and why: a few lines
  }
  struct Ran {
    result @0 :UInt32;       # what the program returned
    context @1 :Data;        # as it left it
  }
  struct Done {
    programs @0 :List(Loaded);   # in the order of the job
    maps @1 :List(MapLoaded);
    license @2 :Text;
    functions @3 :List(Function);  # if they were asked for
    variables @4 :List(Variable);  # those of the job's globals that were given as JSON, in their order; then, if they were asked for, all
  }
  struct Variable {
    name @0 :Text;
    section @1 :Text;        # the name of its map: ".data", ".bss", ".rodata", …
    offset @2 :UInt32;       # bytes, in the only element of that map
    value @3 :Data;          # all of its bytes; at most 64 KiB, of all variables together 1 MiB
    mask @4 :Data;           # as many: the bits that the JSON names; the others are the object's
    type @5 :Text;           # if all were asked for: as C writes it, "" when it is not known. Value and mask are then empty
    json @6 :Text;           # likewise; "" when it can't be told, or when it and those before it would have more than 256 KiB
    size @7 :UInt32;         # bytes
  }
  struct Function {
    name @0 :Text;
    id @1 :UInt32;           # in the object's BTF, as the kernel has it too
  }
  struct Loaded {
    name @0 :Text;
    section @1 :Text;
    handle @2 :UInt32;       # of the session; NO_HANDLE with inspectOnly
    tailCalls @3 :UInt32;    # how many bpf_tail_call instructions it has
    type @4 :UInt32;         # what the section implies
    expectedAttachType @5 :UInt32;
    flags @6 :UInt32;        # BPF_F_* that the section implies (sleepable, frags)
    attachTo @7 :Text;       # from the section's name: tracepoint, function, …; "" when it has none. Of struct_ops, from the map that has it:
                             # "tcp_congestion_ops.ssthresh"
    runPriority @8 :Int32 = -1;  # XDP: of the object's .xdp_run_config; -1: it has none
    proceedOn @9 :UInt32;    # likewise: bit = 1 << verdict; 0: none
    family @10 :Text;        # our word for the type that the section implies ("xdp", "tcx", "tracepoint", …); "" when it implies none
    optional @11 :Bool;      # its section begins with "?": it is loaded only when it is named
    verifierLog @12 :Text;   # if one was asked for; cut in its middle, so that all have 256 KiB together
    toSign @13 :Data;        # if it was asked for; at most 640 KiB, of all together
  }
  struct MapLoaded {
    name @0 :Text;           # the ELF name: "counters", ".rodata", …
    handle @1 :UInt32;
    internal @2 :Bool;       # .rodata, .data, .bss, .kconfig: kept, but not shown as a public pin
    reused @3 :Bool;
    pinByName @4 :Bool;      # LIBBPF_PIN_BY_NAME
    type @5 :UInt32;
    bytes @6 :UInt64;        # the loader's estimate, for the message when the grant was too small
    keySize @7 :UInt32;      # as the object, or the job, has them
    valueSize @8 :UInt32;
    maxEntries @9 :UInt32;
    flags @10 :UInt32;       # BPF_F_* to make it with
    extra @11 :UInt64;       # map_extra
  }
}
