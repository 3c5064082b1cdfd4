// The administrator's rules about order: which programs run first or last on a hook, whatever their priority. From the policy file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/program-types.h"

namespace bpfman {

struct Selector {                        // of programs: all that is set must match. Patterns as of file names
  std::string name, application, image;  // image: where it was loaded from, as `bpfman program get` shows it
  std::string labelKey, labelValue;      // one of its metadata
  int64_t owner = -1;                    // uid; -1: any
};

struct OrderRule {
  TypeSet types;
  std::vector<std::string> interfaces;  // patterns
  std::vector<Selector> first, last;    // each in the order in which they run
  uint32_t line = 0;                    // in the policy
};

struct OrderedProgram {  // what the rules look at
  schema::ProgramType type;
  std::string_view interface, name, application, image;
  uint32_t owner;
  const std::vector<std::pair<std::string, std::string>>& metadata;
};

struct Rank {
  int32_t rank = 0;   // < 0: before those that no rule names, > 0 behind them
  uint32_t line = 0;  // of the rule; 0: none
};

Rank rankOf(const std::vector<OrderRule>& rules, const OrderedProgram& program);  // the first rule that is about this hook decides

}  // namespace bpfman
