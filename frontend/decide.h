// The decision itself, about one role and one request. What a role lacks is said in words, for the caller's error message and for
// `bpfman policy check`: both are the decision, not a description of it.
#pragma once

#include <string>
#include <vector>

#include <kj/string.h>

#include "frontend/role.h"

namespace bpfman {

struct AttachTarget {
  schema::ProgramType type;
  kj::StringPtr interface;  // network types only, as the kernel names it
  bool hostNetns = true;
  bool ownNetns = false;  // the caller owns it: NamespaceTarget::ownedBy(uid)
  uint64_t nsid = 0;
  int32_t priority = 0;          // XDP and TCX
  kj::StringPtr cgroup = ""_kj;  // its path below the root of cgroup2; "": we can't see it
  bool own = false;              // the cgroup's directory, the binary: he owns it
  bool ownProcess = false;       // uprobes: only in one process, and it is his
};

struct Request {
  enum Kind : uint8_t { view, load, attach, change, map, token };
  Kind kind = view;
  AttachTarget target{};            // attach
  TypeSet types;                    // load, token
  uint32_t programs = 0;            // load: how many he would then have, of all his loads
  uid_t owner = 0;                  // change (unload, detach, attach a program that is loaded), map: of whose programs
  MapRight right = MapRight::read;  // map. A descriptor that can write needs `descriptor` and `write`

  static Request toLoad(TypeSet types, uint32_t programs);
  static Request toAttach(const AttachTarget& target);
  static Request toChange(uid_t owner);
  static Request toMap(MapRight right, uid_t owner);
  static Request toDelegate(TypeSet types);
};

kj::String describe(const Request& request);  // "load type xdp (class network)": completes "he may …"

// Why the role does not allow the request to user `uid`; empty: it does.
std::vector<std::string> lacks(const Role& role, const Request& request, uid_t uid, const std::vector<Reservation>& reservations);

kj::String describe(const Places& places);  // "eth*, veth0 in the host's network namespace, priorities 100 to 200"
kj::StringPtr baseName(Role::Base base);
kj::String classNames(uint32_t classes);
kj::String mapRightNames(uint32_t rights);  // as the policy file has them
kj::String typeNames(TypeSet types);

}  // namespace bpfman
