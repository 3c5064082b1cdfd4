// Errors of the client library are kj exceptions: a description that says what to do, and a type that says whether asking again can
// help (see the head of schema/bpfman.capnp).
#pragma once

#include <kj/exception.h>
#include <kj/string.h>

namespace bpfman {

// Throws an exception with exactly this description: no names of expressions, no place in our source.
[[noreturn]] void fail(kj::String text, kj::Exception::Type type = kj::Exception::Type::FAILED);

// What a person is to read: the description without the marks that the RPC adds on its way, and for a lost connection what to do.
kj::String whatWentWrong(const kj::Exception& exception);

// Whether the exception says that the object which was asked for does not exist (or not any more): it ends with "does not exist" or
// "record not found", or is "not found" and no more.
bool saysAbsent(const kj::Exception& exception);

}  // namespace bpfman
