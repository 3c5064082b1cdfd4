// The whole machine through BPF iterators of our own, which are pinned and opened anew for each read.
#pragma once

#include "frontend/core.h"
#include "frontend/hook-survey.h"
#include "frontend/overview.h"

namespace bpfman {

class SystemView {
 public:
  explicit SystemView(Core& core) : core(core), survey(core) {}

  void install(kj::WaitScope& scope);
  // Loads and pins the iterators, unless those of this version are there. Call it before any other.

  std::vector<KernelProgram> programs(kj::WaitScope& scope);
  std::vector<KernelMap> maps(kj::WaitScope& scope);
  std::vector<KernelLink> links(kj::WaitScope& scope);
  Moment moment() const;
  const std::vector<HookSupport>& hooks(kj::WaitScope& scope) { return survey.take(scope); }

 private:
  Core& core;
  HookSurvey survey;

  std::vector<std::byte> read(kj::StringPtr iterator, kj::WaitScope& scope);
  bool installed(kj::WaitScope& scope);
};

}  // namespace bpfman
