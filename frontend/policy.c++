#include "frontend/policy.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>

#include <kj/debug.h>

#include "frontend/policy-reader.h"
#include "frontend/refuse.h"
#include "schema/broker.h"

namespace bpfman {

Policy Policy::parse(int descriptor, kj::StringPtr name, const Surroundings& around, Names names) {
  std::string text(wire::POLICY_BYTES + 1, '\0');
  size_t size = 0;
  // pread: a frontend that is started again is given the same open file, and reads it from its beginning.
  for (ssize_t got = 1; got > 0 && size < text.size(); size += got) {
    KJ_SYSCALL(got = pread(descriptor, text.data() + size, text.size() - size, size), name);
  }
  if (size > wire::POLICY_BYTES) refuse(name, ": the policy is larger than ", wire::POLICY_BYTES, " bytes");
  text.resize(size);
  return parseText(kj::StringPtr(text.c_str(), size), name, around, names);
}

Policy Policy::parseText(kj::StringPtr text, kj::StringPtr name, const Surroundings& around, Names names) {
  Policy policy = defaults(name, around);
  PolicyReader reader(name, around, names);
  reader.read(text);
  for (auto& grant : reader.grants) policy.grants.push_back(std::move(grant));
  policy.reservations = std::make_shared<std::vector<Reservation>>(std::move(reader.reservations));
  policy.orderRules = std::move(reader.orderRules);
  policy.exclusive = std::move(reader.exclusive);
  policy.remarks = std::move(reader.remarks);
  return policy;
}

Policy Policy::defaults(kj::StringPtr name, const Surroundings& around) {
  Policy policy;
  policy.name = name.cStr();
  Grant root{{0}, {}, {builtInRole("administrator")}};
  KJ_IF_MAYBE (gid, around.group("bpfman")) { root.groups.push_back(*gid); }
  policy.grants.push_back(std::move(root));
  return policy;
}

bool Policy::isExclusive(kj::StringPtr interface) const {
  return std::ranges::any_of(exclusive, [&](auto& glob) { return fnmatch(glob.c_str(), interface.cStr(), 0) == 0; });
}

Rights Policy::rightsOf(const Caller& caller) const {
  std::vector<HeldRole> held;
  // Root of a user namespace of its own, which somebody mapped to root here, is nobody; and so is its group bpfman.
  auto counts = [&](uint32_t id) { return !caller.foreign || id != 0; };
  for (auto& grant : grants) {
    if (caller.foreign && &grant == &grants.front()) continue;  // defaults(): uid 0 and group bpfman
    bool meant = counts(caller.uid) && std::ranges::find(grant.users, caller.uid) != grant.users.end();
    for (gid_t gid : caller.gids) meant = meant || (counts(gid) && std::ranges::find(grant.groups, gid) != grant.groups.end());
    if (!meant) continue;
    for (auto& role : grant.roles) {
      if (std::ranges::find(held, role, &HeldRole::role) == held.end()) held.push_back({role, grant.line});
    }
  }
  return Rights(caller.uid, std::move(held), reservations, name);
}

}  // namespace bpfman
