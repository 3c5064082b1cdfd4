// What a program made with libbpf's <bpf/usdt.bpf.h> looks up to find the arguments of a static probe: an element of its map
// __bpf_usdt_specs, whose key is the cookie of the place where it is attached.
#pragma once

#include <kj/array.h>
#include <kj/string.h>

#include <cstdint>

namespace bpfman {

constexpr char USDT_SPECS[] = "__bpf_usdt_specs";
constexpr size_t USDT_ARGUMENTS = 12;  // at most

// arguments: as StaticProbe has them. cookie: what bpf_usdt_cookie() gives. An error names the argument that is of a kind that such
// programs can't read, or that this processor does not have.
kj::Array<kj::byte> usdtSpec(kj::StringPtr arguments, uint64_t cookie);

}  // namespace bpfman
