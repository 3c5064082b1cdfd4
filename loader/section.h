// What a program's ELF section says about it: "xdp.frags", "tracepoint/sched/sched_switch", "tcx/ingress", …
#pragma once

#include <cstdint>
#include <string>

#include <bpf/libbpf.h>

namespace bpfman {

struct Section {
  explicit Section(const bpf_program* program);

  std::string name;
  std::string family;    // "xdp", "tcx", "kprobe", …; "" when the section implies nothing
  std::string attachTo;  // tracepoint, function, …; "" when it names none
  uint32_t type;         // BPF_PROG_TYPE_*
  uint32_t expectedAttachType;
  uint32_t flags;  // BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS

 private:
  void typeNamed(const std::string& known);  // as libbpf knows that section
};

}  // namespace bpfman
