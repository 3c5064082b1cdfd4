#include "frontend/rights.h"

#include <algorithm>

#include <kj/vector.h>

#include "frontend/refuse.h"

namespace bpfman {

Rights::Rights(uid_t uid, std::vector<HeldRole> roles, std::shared_ptr<const std::vector<Reservation>> reservations, std::string policyName)
    : uid(uid), roles(std::move(roles)), reservations(std::move(reservations)), policyName(std::move(policyName)) {}

bool Rights::administrator() const {
  return std::ranges::any_of(roles, [](auto& held) { return held.role->base == Role::administrator; });
}

std::vector<std::string> Rights::roleNames() const {
  std::vector<std::string> names;
  for (auto& held : roles) names.push_back(held.role->name);
  return names;
}

bool Rights::passes(const Request& request) const {
  return std::ranges::any_of(roles, [&](auto& held) { return lacks(*held.role, request, uid, *reservations).empty(); });
}

Decision Rights::decide(const Request& request) const {
  Decision decision;
  for (auto& held : roles) {
    decision.roles.push_back({held, lacks(*held.role, request, uid, *reservations)});
    decision.allowed = decision.allowed || decision.roles.back().lacks.empty();
  }
  return decision;
}

void Rights::requireAdministrator(kj::StringPtr toDo) const {
  if (!administrator()) deny(toDo, "");
}

void Rights::require(const Request& request) const {
  if (passes(request)) return;
  kj::Vector<kj::String> why;
  for (auto& [held, lacks] : decide(request).roles) {
    auto words = KJ_MAP(each, lacks) { return kj::StringPtr(each.c_str()); };
    why.add(kj::str(held.role->name.c_str(), ": ", kj::strArray(words, ", ")));
  }
  auto because = why.empty() ? kj::str() : kj::str(" (", kj::strArray(why, "; "), ")");
  deny(describe(request), because);
}

void Rights::deny(kj::StringPtr what, kj::StringPtr because) const {
  if (onDenied) onDenied(what);
  refuse(PERMISSION_DENIED, "user ", uid, " has no role that may ", what, because, "; ask the administrator to add it in ",
         policyName.c_str());
}

uint64_t Rights::most(Limit limit, const Request& request) const {
  if (administrator()) return UINT64_MAX;
  uint64_t most = 0;
  for (auto& held : roles) {
    if (lacks(*held.role, request, uid, *reservations).empty()) most = std::max(most, (*held.role).*limit);
  }
  return most;
}

}  // namespace bpfman
