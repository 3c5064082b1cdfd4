// What a client passes to bpfmand beside its words: descriptors. They say which object is meant, never that the sender may have it.
//
// Ownership: each function here gives a descriptor that the caller owns (closed by its destructor). `carry` takes it over; what is
// sent is a duplicate, so it may be dropped as soon as the call that sent it has returned. A descriptor received through
// schema::Descriptor belongs to the received capability: `received` gives a duplicate of one's own.
#pragma once

#include "schema/bpfman.capnp.h"

#include <kj/async.h>
#include <kj/io.h>
#include <sys/types.h>

namespace bpfman {

constexpr size_t MAX_BYTECODE = 16 << 20;  // bytes of one object file

// An anonymous file with these bytes that nobody can change any more (F_SEAL_WRITE, GROW, SHRINK, SEAL): what bpfmand takes as
// bytecode.
kj::AutoCloseFd sealedMemfd(kj::ArrayPtr<const kj::byte> bytes);

// The same with the content of a regular file of 1 byte .. MAX_BYTECODE. Anything else is an error that names the path.
kj::AutoCloseFd bytecodeFrom(kj::StringPtr path);

// A network namespace by its path, as `ip netns` makes them. An error if it is something else.
kj::AutoCloseFd openNetns(kj::StringPtr path);

// What a cgroup or a binary is passed as: O_PATH, which only says what is meant. An error names the path.
kj::AutoCloseFd openPath(kj::StringPtr path);

// A process, by its number at this moment.
kj::AutoCloseFd openProcess(pid_t pid);

// A program that is in the kernel already, by its pin in a bpffs or its id there, as far as the caller's own privilege allows.
kj::AutoCloseFd pinnedProgram(kj::StringPtr path);
kj::AutoCloseFd programById(uint32_t id);
uint32_t kernelTypeOf(int program);  // BPF_PROG_TYPE_*; an error if it is no program

// Makes a descriptor into something that can travel in a request.
schema::Descriptor::Client carry(kj::AutoCloseFd descriptor);

// The descriptor that came with a capability, as a duplicate; an error if none came.
kj::Promise<kj::AutoCloseFd> received(schema::Descriptor::Client carrier);

}  // namespace bpfman
