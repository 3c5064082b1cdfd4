#include "dispatchers/objects.h"

extern "C" const unsigned char bpfman_xdp_libxdp[], bpfman_xdp_libxdp_end[], bpfman_tc_freplace[], bpfman_tc_freplace_end[];
extern "C" const unsigned char bpfman_xdp_tailcall[], bpfman_xdp_tailcall_end[], bpfman_tc_tailcall[], bpfman_tc_tailcall_end[];

namespace bpfman {

std::span<const unsigned char> xdpLibxdpDispatcher() { return {bpfman_xdp_libxdp, bpfman_xdp_libxdp_end}; }
std::span<const unsigned char> tcFreplaceDispatcher() { return {bpfman_tc_freplace, bpfman_tc_freplace_end}; }
std::span<const unsigned char> xdpTailcallDispatcher() { return {bpfman_xdp_tailcall, bpfman_xdp_tailcall_end}; }
std::span<const unsigned char> tcTailcallDispatcher() { return {bpfman_tc_tailcall, bpfman_tc_tailcall_end}; }

}  // namespace bpfman
