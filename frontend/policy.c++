#include "frontend/policy.h"

#include <unistd.h>

#include <algorithm>

#include <kj/debug.h>

#include "frontend/limits.h"
#include "frontend/policy-reader.h"
#include "frontend/refuse.h"

namespace bpfman {

Policy Policy::parse(int descriptor, kj::StringPtr name) {
  std::string text(limits::POLICY_BYTES + 1, '\0');
  size_t size = 0;
  // pread: a frontend that is started again is given the same open file, and reads it from its beginning.
  for (ssize_t got = 1; got > 0 && size < text.size(); size += got) {
    KJ_SYSCALL(got = pread(descriptor, text.data() + size, text.size() - size, size), name);
  }
  if (size > limits::POLICY_BYTES) refuse(name, ": the policy is larger than ", limits::POLICY_BYTES, " bytes");
  text.resize(size);
  return parseText(kj::StringPtr(text.c_str(), size), name);
}

Policy Policy::parseText(kj::StringPtr text, kj::StringPtr name) {
  Policy policy = defaults(name);
  PolicyReader reader(name);
  for (auto& grant : reader.read(text)) policy.grants.push_back(std::move(grant));
  policy.remarks = reader.notes();
  return policy;
}

Policy Policy::defaults(kj::StringPtr name) {
  Policy policy;
  policy.name = name.cStr();
  Grant root{{0}, {}, {builtInRole("administrator")}};
  KJ_IF_MAYBE (gid, groupNamed("bpfman")) { root.groups.push_back(*gid); }
  policy.grants.push_back(std::move(root));
  return policy;
}

Rights Policy::rightsOf(const Caller& caller) const {
  std::vector<std::shared_ptr<const Role>> roles;
  for (auto& grant : grants) {
    bool meant = std::ranges::find(grant.users, caller.uid) != grant.users.end();
    for (gid_t gid : caller.gids) meant = meant || std::ranges::find(grant.groups, gid) != grant.groups.end();
    if (!meant) continue;
    for (auto& role : grant.roles) {
      if (std::ranges::find(roles, role) == roles.end()) roles.push_back(role);
    }
  }
  return Rights(caller.uid, std::move(roles), name);
}

}  // namespace bpfman
