// An error that is the user's to read: an exception whose description is exactly that sentence.
#pragma once

#include <kj/exception.h>
#include <kj/string.h>

namespace bpfman {

[[noreturn]] inline void refuse(kj::Exception::Type type, kj::String sentence) {
  kj::throwFatalException(kj::Exception(type, __FILE__, __LINE__, kj::mv(sentence)));
}

[[noreturn]] inline void refuse(kj::String sentence) { refuse(kj::Exception::Type::FAILED, kj::mv(sentence)); }

constexpr kj::StringPtr PERMISSION_DENIED = "permission denied: "_kj;
inline bool isDenial(const kj::Exception& exception) { return exception.getDescription().startsWith(PERMISSION_DENIED); }

template <typename... Parts>
[[noreturn]] void refuse(Parts&&... parts) {
  refuse(kj::str(kj::fwd<Parts>(parts)...));
}

template <typename... Parts>
[[noreturn]] void refuse(kj::Exception::Type type, Parts&&... parts) {
  refuse(type, kj::str(kj::fwd<Parts>(parts)...));
}

}  // namespace bpfman
