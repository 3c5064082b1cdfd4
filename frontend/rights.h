// What one caller may do: the roles that the policy's grants give him. A request passes when one of them allows all of it. Each
// require… throws an exception whose text is for the caller to read.
#pragma once

#include <functional>

#include "frontend/decide.h"

namespace bpfman {

struct HeldRole {
  std::shared_ptr<const Role> role;
  uint32_t line;  // of its grant in the policy; 0: built in
};

struct Decision {
  struct ByRole {
    HeldRole held;
    std::vector<std::string> lacks;
  };
  bool allowed = false;
  std::vector<ByRole> roles;  // all of the caller's
};

class Rights {
 public:
  Rights(uid_t uid, std::vector<HeldRole> roles, std::shared_ptr<const std::vector<Reservation>> reservations, std::string policyName);

  bool view() const { return !roles.empty(); }
  bool administrator() const;
  std::vector<std::string> roleNames() const;

  Decision decide(const Request& request) const;
  void require(const Request& request) const;

  void requireAdministrator(kj::StringPtr toDo) const;
  void requireView() const { require({}); }
  void requireLoad(TypeSet types, uint32_t programs) const { require(Request::toLoad(types, programs)); }
  uint64_t maxMapBytes(TypeSet types, uint32_t programs) const { return most(&Role::maxMapBytes, Request::toLoad(types, programs)); }
  uint64_t maxMemory(TypeSet types) const { return most(&Role::maxMemory, Request::toLoad(types, 0)); }
  // For the grant of such a load, and of all together, from the roles that allow it; an administrator's: no limit but the ceiling.
  void requireAttach(const AttachTarget& target) const { require(Request::toAttach(target)); }
  void requireDelegate(TypeSet types) const { require(Request::toDelegate(types)); }
  void requireUnload(uid_t owner) const { require(Request::toChange(owner)); }
  bool mayMap(MapRight right, uid_t owner) const { return passes(Request::toMap(right, owner)); }
  void requireMap(MapRight right, uid_t owner) const { require(Request::toMap(right, owner)); }

  std::function<void(kj::StringPtr what)> onDenied;  // called before a denial is thrown

 private:
  uid_t uid;
  std::vector<HeldRole> roles;
  std::shared_ptr<const std::vector<Reservation>> reservations;
  std::string policyName;

  bool passes(const Request& request) const;
  using Limit = uint64_t Role::*;
  uint64_t most(Limit limit, const Request& request) const;
  [[noreturn]] void deny(kj::StringPtr what, kj::StringPtr because) const;
};

}  // namespace bpfman
