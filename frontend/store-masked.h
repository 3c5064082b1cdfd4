// Writing into memory that a program in the kernel writes at the same time.
#pragma once

#include <kj/common.h>

namespace bpfman {

// Stores the bits of `value` that `mask`, of the same size, has: aligned numbers of up to 8 bytes at once, so that nobody sees a half of
// one.
void storeMasked(kj::byte* at, kj::ArrayPtr<const kj::byte> value, kj::ArrayPtr<const kj::byte> mask);

}  // namespace bpfman
