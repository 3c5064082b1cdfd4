// The policy file: which user may do what. Read once, before the sandbox closes the file system, since names and namespaces are
// looked up then: what changes it is a new frontend. The format: docs/policy.md. Rights are answered per caller and per target: see
// rights.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kj/string.h>

#include "frontend/identity.h"
#include "frontend/order-rule.h"
#include "frontend/rights.h"
#include "frontend/surroundings.h"

namespace bpfman {

struct Grant {  // who has which roles
  std::vector<uid_t> users;
  std::vector<gid_t> groups;
  std::vector<std::shared_ptr<const Role>> roles;
  uint32_t line = 0;  // in the file; 0: built in
};

enum class Names { known, mayBeGone };  // mayBeGone: of a policy that was in force already; who is gone is given nothing

class Policy {
 public:
  static Policy parse(int descriptor, kj::StringPtr name, const Surroundings& around = thisMachine(), Names names = Names::known);
  // Reads the whole file (1 MiB at most). An empty one, /dev/null too, is like none. Any mistake refuses the whole file with line,
  // column and reason.
  static Policy parseText(kj::StringPtr text, kj::StringPtr name, const Surroundings& around = thisMachine(), Names names = Names::known);
  static Policy defaults(kj::StringPtr name = "/etc/bpfman/policy.toml", const Surroundings& around = thisMachine());
  // root and the group `bpfman` administrate; nobody else may do anything. `name` is for messages.

  Rights rightsOf(const Caller& caller) const;
  // On the host's socket. Another socket, with an authority of its own, needs no more than Rights made of other roles.

  const std::vector<Grant>& allGrants() const { return grants; }
  const std::vector<Reservation>& allReservations() const { return *reservations; }
  const std::vector<OrderRule>& allOrderRules() const { return orderRules; }
  bool isExclusive(kj::StringPtr interface) const;  // no other tool may change its XDP chain
  const std::vector<std::string>& notes() const { return remarks; }
  // What is no mistake but worth a line in the log, such as a named namespace that does not exist.

 private:
  std::string name;
  std::vector<Grant> grants;
  std::shared_ptr<const std::vector<Reservation>> reservations = std::make_shared<std::vector<Reservation>>();
  std::vector<OrderRule> orderRules;
  std::vector<std::string> exclusive;  // patterns of interfaces
  std::vector<std::string> remarks;
};

}  // namespace bpfman
