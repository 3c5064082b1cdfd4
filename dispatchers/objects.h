// The dispatcher programs as they were compiled, embedded in whoever links dispatcher_objects.
#pragma once

#include <span>

namespace bpfman {

// ELF objects; see tailcall.h for what their maps mean.
std::span<const unsigned char> xdpTailcallDispatcher();
std::span<const unsigned char> tcTailcallDispatcher();
// Likewise, of a version of the libxdp protocol: 1, 2 or 3; xdp-libxdp.h has its configuration.
std::span<const unsigned char> xdpLibxdpDispatcher(unsigned version);

}  // namespace bpfman
