// The dispatcher programs as they were compiled, embedded in whoever links dispatcher_objects.
#pragma once

#include <span>

namespace bpfman {

std::span<const unsigned char> xdpLibxdpDispatcher();    // likewise; xdp-libxdp.h has its configuration
std::span<const unsigned char> xdpTailcallDispatcher();  // an ELF object; see xdp-tailcall.h for what its maps mean

}  // namespace bpfman
