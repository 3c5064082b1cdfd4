// What an XDP program's author wrote into the object for the libxdp protocol: where it wants to run, and after which verdicts the next one
// runs. It counts where the caller says nothing.
#pragma once

#include <cstdint>
#include <string>

#include <bpf/libbpf.h>

namespace bpfman {

struct RunConfig {
  int32_t priority = -1;   // -1: none
  uint32_t proceedOn = 0;  // bit = 1 << verdict; 0: none
};

RunConfig runConfigOf(const bpf_object* object, const std::string& function);

}  // namespace bpfman
