// Every rtnetlink decoder on the same arbitrary bytes (option BPFMAN_FUZZ, clang).
#include "frontend/netlink-decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (auto& message : bpfman::splitMessages({reinterpret_cast<const std::byte*>(data), size})) {
    bpfman::netlinkError(message);
    bpfman::decodeInterface(message);
    bpfman::decodeFilter(message);
    bpfman::decodeQdisc(message);
    bpfman::decodeChange(message);
  }
  return 0;
}
