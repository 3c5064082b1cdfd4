// Tables of functions that the kernel calls: which of an object's programs each struct_ops map has, by what libbpf keeps of it.
#pragma once

#include <string>
#include <vector>

#include <bpf/libbpf.h>

namespace bpfman {

struct StructOpsFunction {
  bpf_map* map;
  bpf_program* program;
  std::string member;  // "tcp_congestion_ops.ssthresh", as the kernel calls it
};

std::vector<StructOpsFunction> functionsOf(bpf_object* object);  // once it is open

// Only tables whose functions are all wanted are made, none of the others. Throws a Refusal where only some are.
void chooseStructOps(bpf_object* object, const std::vector<bpf_program*>& wanted);

// Gives each that was made its contents: libbpf does that where it attaches.
int fillStructOps(bpf_object* object);  // or -errno

}  // namespace bpfman
