// The kernel's modules as libbpf looks for them: one after the other, by numbers that this process gives. Their types come from whoever
// gave the job, who is asked at libbpf's first question: it has one only when the kernel itself lacks what an object needs.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <bpf/btf.h>
#include <cstdint>
#include <linux/bpf.h>

namespace bpfman {

struct KernelNames {
  std::set<std::string> symbols, types;  // functions and variables; what CO-RE looks for
};
KernelNames kernelNamesOf(const btf* types, std::span<const unsigned char> elf);  // of an object: what it uses of the kernel

struct Module {
  std::string name;
  std::span<const unsigned char> types;
};

class Modules {
 public:
  using Ask = std::function<std::vector<Module>()>;  // throws nothing: libbpf's C code lies between
  explicit Modules(Ask ask) : ask(std::move(ask)) {}

  uint32_t after(uint32_t number);  // the next one's; 0: there is none
  bool has(uint32_t number) const { return number > 0 && number <= found.size(); }
  long describe(uint32_t number, bpf_btf_info& info) const;  // as the kernel does: 0 or -errno

 private:
  Ask ask;
  bool asked = false;
  std::vector<Module> found;
};

}  // namespace bpfman
