#include "dispatchers/objects.h"

extern "C" const unsigned char bpfman_xdp_libxdp_v1[], bpfman_xdp_libxdp_v1_end[], bpfman_xdp_libxdp_v2[], bpfman_xdp_libxdp_v2_end[],
    bpfman_xdp_libxdp_v3[], bpfman_xdp_libxdp_v3_end[], bpfman_tc_freplace[], bpfman_tc_freplace_end[];
extern "C" const unsigned char bpfman_xdp_tailcall[], bpfman_xdp_tailcall_end[], bpfman_tc_tailcall[], bpfman_tc_tailcall_end[];

namespace bpfman {

std::span<const unsigned char> xdpLibxdpDispatcher(unsigned version) {
  if (version == 1) return {bpfman_xdp_libxdp_v1, bpfman_xdp_libxdp_v1_end};
  if (version == 3) return {bpfman_xdp_libxdp_v3, bpfman_xdp_libxdp_v3_end};
  return {bpfman_xdp_libxdp_v2, bpfman_xdp_libxdp_v2_end};
}
std::span<const unsigned char> tcFreplaceDispatcher() { return {bpfman_tc_freplace, bpfman_tc_freplace_end}; }
std::span<const unsigned char> xdpTailcallDispatcher() { return {bpfman_xdp_tailcall, bpfman_xdp_tailcall_end}; }
std::span<const unsigned char> tcTailcallDispatcher() { return {bpfman_tc_tailcall, bpfman_tc_tailcall_end}; }

}  // namespace bpfman
