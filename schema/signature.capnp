@0xbf9171ff830b854b;
# Signed programs: part of bpfman's public contract (bpfman.capnp). The kernel verifies them (Linux 6.18 and newer), bpfman passes on what it
# needs. What is signed are the instructions as the kernel gets them, which LoadAnswer.Loaded.toSign has: fitted to this kernel, maps named
# by index. They are the same for the same object, options, kernel and version of bpfman.

$import "/capnp/c++.capnp".namespace("bpfman::schema");

struct Signature {
  program @0 :Text;            # which: the function's name, one of those that are loaded
  pkcs7 @1 :Data;              # detached, DER, 1 .. 8192 bytes
  keyring @2 :Int32;           # with the key that is trusted: 0 the kernel's own, 1 also the second one, 2 the platform's, else a serial > 2
}
