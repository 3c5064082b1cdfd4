// Names in the types of the kernel's modules: /sys/kernel/btf has a file of each that is loaded and has some. Everything is read anew at
// each question, as modules come and go; none is asked where the kernel itself has what is looked for.
#pragma once

#include <set>
#include <string>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

#include "frontend/btf-types.h"

namespace bpfman {

class ModuleBtf {
 public:
  ModuleBtf(int kernel, int directory, int loaded) : kernel(kernel), directory(directory), loaded(loaded) {}
  // Descriptors, which outlive this: of /sys/kernel/btf/vmlinux or /dev/null; of /sys/kernel/btf and /proc/modules, or -1: there are no
  // modules.

  enum class Wanted { function, tracepoint };
  struct Found {
    std::string module;
    uint32_t id;
  };
  kj::Maybe<Found> find(Wanted wanted, kj::StringPtr name);
  // NAME, which one module may have, or MODULE:NAME. Refuses when several have it, or not that module, and says what to do.

  struct Names {
    std::set<std::string, std::less<>> symbols, types;  // functions and variables; structs, enums and the like
  };
  std::vector<std::string> having(Names names);     // those modules that have some of what the kernel itself lacks
  std::vector<char> typesOf(kj::StringPtr module);  // empty: there are none

  static bool isQualified(kj::StringPtr name) { return name.findFirst(':') != nullptr; }

 private:
  int kernel, directory, loaded;

  struct Base;  // the kernel's own types
  std::vector<std::string> modules();
  uint32_t idIn(kj::StringPtr module, Wanted wanted, std::string_view name, const Base& base);  // 0: it has none
  bool isLoaded(kj::StringPtr module);
};

}  // namespace bpfman
