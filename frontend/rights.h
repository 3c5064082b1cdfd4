// What one caller may do. A role says it; a request passes when one of the caller's roles allows all of it. Each require… throws an
// exception whose text is for the caller to read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <kj/io.h>
#include <kj/string.h>

#include "frontend/limits.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

enum class ProgramClass : uint8_t { network, cgroup, observe, control, count };
// What a type's programs can reach. observe equals reading all of the kernel's memory; control equals root.
ProgramClass classOf(schema::ProgramType type);
kj::StringPtr nameOf(ProgramClass programClass);
kj::StringPtr nameOf(schema::ProgramType type);

enum class MapRight : uint8_t { read, descriptor, write, count };

struct NamedNamespace {
  std::string path;                       // as the policy has it
  uint64_t nsid;                          // its inode when the policy was read
  std::shared_ptr<kj::AutoCloseFd> held;  // so that no other namespace gets that inode
};

struct Role {
  enum Base : uint8_t { administrator, operator_, viewer };
  std::string name;
  Base base = viewer;
  uint32_t classes = 0;                 // bit = ProgramClass
  std::vector<std::string> interfaces;  // globs
  bool ownNamespaces = false, hostNamespace = false;
  std::vector<NamedNamespace> namespaces;
  uint32_t mapRights = 0;  // bit = MapRight
  int32_t minPriority = 0, maxPriority = limits::PRIORITY_MAX;
  uint32_t maxPrograms = limits::OPERATOR_PROGRAMS;
  uint64_t maxMapBytes = limits::OPERATOR_MAP_BYTES;
};

struct AttachTarget {
  schema::ProgramType type;
  kj::StringPtr interface;  // network types only, as the kernel names it
  bool hostNetns = true;
  bool ownNetns = false;  // the caller owns it: NamespaceTarget::ownedBy(uid)
  uint64_t nsid = 0;
  int32_t priority = 0;  // XDP and TCX
};

class Rights {
 public:
  Rights(uid_t uid, std::vector<std::shared_ptr<const Role>> roles, std::string policyName);

  bool view() const { return !roles.empty(); }
  bool administrator() const;
  std::vector<std::string> roleNames() const;

  void requireView() const;
  void requireAdministrator(kj::StringPtr toDo) const;
  void requireLoad(schema::ProgramType type) const;
  void requireRoom(uint32_t programs) const;  // how many he would then have, of all his loads
  uint64_t maxMapBytes() const;               // for the grant of one load; an administrator's: no limit but the ceiling
  void requireAttach(const AttachTarget& target) const;
  void requireUnload(uid_t owner) const;  // also detach; also attaching a program that is loaded already
  bool mayMap(MapRight right, uid_t owner) const;
  void requireMap(MapRight right, uid_t owner) const;
  // Of the maps of that owner's programs. A descriptor that can write needs `descriptor` and `write`.

  std::function<void(kj::StringPtr what)> onDenied;  // called before a denial is thrown

 private:
  uid_t uid;
  std::vector<std::shared_ptr<const Role>> roles;
  std::string policyName;

  template <typename Test>
  bool any(Test&& test) const;
  [[noreturn]] void deny(kj::StringPtr what) const;
};

}  // namespace bpfman
