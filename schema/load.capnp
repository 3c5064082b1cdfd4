@0xbf9171ff830b854b;
# What the load of a program and its update both say: values of global variables, and signatures. Part of bpfman's public contract (bpfman.capnp).

$import "/capnp/c++.capnp".namespace("bpfman::schema");

struct Global { name @0 :Text; value @1 :Data; json @2 :Text; }
# A global variable's new value: raw bytes, exactly as many as the variable has; or, where `json` is not "", as JSON of the type that the
# object's BTF gives it (and `value` is empty). Integers: a number, or a string "-1", "0xff"; bool: true, false, 0, 1; enums: an enumerator's
# name, or a number; float, double: a number; arrays of char: a string, with room for the NUL behind it, the rest becomes 0; other arrays: at
# most as many elements as there are; structs: an object. Elements and members that are not named keep the object's initial value. Text that
# does not begin with {, [ or " and is no JSON is a string. Errors name variable and member, and say what was expected: out of range, too
# many or long, unknown names with those that there are; pointers and unions can't be set. Answers (ProgramRecord) have bytes only.

struct Signature {
  program @0 :Text;            # which: the function's name, one of those that are loaded
  pkcs7 @1 :Data;              # detached, DER, 1 .. 8192 bytes
  keyring @2 :Int32;           # with the key that is trusted: 0 the kernel's own, 1 also the second one, 2 the platform's, else a serial > 2
}
# The kernel verifies it (Linux 6.18 and newer), bpfman passes on what it needs. What is signed are the instructions as the kernel gets them,
# which LoadAnswer.Loaded.toSign has: fitted to this kernel, maps named by index. They are the same for the same object, options, kernel and
# version of bpfman.
