// The dispatcher programs as they were compiled, embedded in whoever links dispatcher_objects.
#pragma once

#include <span>

namespace bpfman {

// ELF objects; see tailcall.h for what their maps mean.
std::span<const unsigned char> xdpTailcallDispatcher();
std::span<const unsigned char> tcTailcallDispatcher();
// Likewise; xdp-libxdp.h and tc-freplace.h have their configuration. XDP: of a version of the libxdp protocol, 1, 2 or 3.
std::span<const unsigned char> xdpLibxdpDispatcher(unsigned version);
std::span<const unsigned char> tcFreplaceDispatcher();

}  // namespace bpfman
