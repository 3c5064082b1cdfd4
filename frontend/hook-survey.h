// Which hooks this host has, found by trying: each type's smallest program is loaded and dropped. Where that tells too little, a function
// that only such a kernel has is looked for.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "frontend/core.h"
#include "schema/program-types.h"

namespace bpfman {

struct HookSupport {
  const ProgramTypeRow& row;
  std::string missing;               // why there is none; "": it is there
  std::vector<std::string> kinds{};  // of struct_ops: which this kernel takes
};

class HookSurvey {
 public:
  explicit HookSurvey(Core& core) : core(core) {}
  const std::vector<HookSupport>& take(kj::WaitScope& scope);  // once: what a kernel has stays

 private:
  Core& core;
  std::vector<HookSupport> known;
  KernelBtf::Found kernel;  // of what the types need

  struct Tried {
    HookSupport& hook;
    wire::GrantedProgram granted;
  };
  void prepare(HookSupport& hook, std::vector<Tried>& tried);
  void load(std::span<Tried> tried, kj::WaitScope& scope);  // in one session
};

}  // namespace bpfman
