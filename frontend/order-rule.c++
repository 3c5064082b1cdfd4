#include "frontend/order-rule.h"

#include <fnmatch.h>

#include <algorithm>

#include "frontend/role.h"

namespace bpfman {

namespace {

bool matches(const std::string& pattern, std::string_view text) {
  return pattern.empty() || fnmatch(pattern.c_str(), std::string(text).c_str(), 0) == 0;
}

bool selects(const Selector& selector, const OrderedProgram& program) {
  bool label = selector.labelKey.empty() || std::ranges::any_of(program.metadata, [&](auto& pair) {
                 return pair.first == selector.labelKey && matches(selector.labelValue, pair.second);
               });
  return label && matches(selector.name, program.name) && matches(selector.application, program.application) &&
         matches(selector.image, program.image) && (selector.owner < 0 || selector.owner == program.owner);
}

}  // namespace

Rank rankOf(const std::vector<OrderRule>& rules, const OrderedProgram& program) {
  for (const OrderRule& rule : rules) {
    bool meant = rule.types.test(static_cast<size_t>(program.type));
    if (!meant || std::ranges::none_of(rule.interfaces, [&](auto& pattern) { return matches(pattern, program.interface); })) continue;
    auto place = [&](const std::vector<Selector>& selectors) {
      return std::ranges::find_if(selectors, [&](auto& selector) { return selects(selector, program); }) - selectors.begin();
    };
    auto first = place(rule.first), last = place(rule.last);
    if (first < std::ssize(rule.first)) return {static_cast<int32_t>(first - std::ssize(rule.first)), rule.line};
    if (last < std::ssize(rule.last)) return {static_cast<int32_t>(last + 1), rule.line};
    return {};
  }
  return {};
}

}  // namespace bpfman
