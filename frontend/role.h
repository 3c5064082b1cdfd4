// What the policy file defines: roles, and priorities that are kept for some of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <kj/io.h>

#include "frontend/limits.h"
#include "schema/program-types.h"

namespace bpfman {

enum class MapRight : uint8_t { read, descriptor, write, count };

struct NamedNamespace {
  std::string path;                       // as the policy has it
  uint64_t nsid;                          // its inode when the policy was read
  std::shared_ptr<kj::AutoCloseFd> held;  // so that no other namespace gets that inode
};

struct Places {                         // of programs that have a target: its kind says which of these decides
  std::vector<std::string> interfaces;  // globs
  bool ownNamespaces = false, hostNamespace = false;
  std::vector<NamedNamespace> namespaces;
  int32_t minPriority = 0, maxPriority = limits::PRIORITY_MAX;
  bool ownCgroups = false, hostCgroups = false;    // host: all
  std::vector<std::string> cgroups;                // globs of paths below the root of cgroup2
  bool ownBinaries = false, hostBinaries = false;  // own: only in processes of his own as well
};

struct Role {
  enum Base : uint8_t { administrator, operator_, viewer };
  std::string name;  // no two roles of a policy have the same
  Base base = viewer;
  uint32_t classes = 0;  // bit = ProgramClass
  Places places;
  uint32_t mapRights = 0;  // bit = MapRight
  uint32_t maxPrograms = limits::OPERATOR_PROGRAMS;
  uint64_t maxMapBytes = limits::OPERATOR_MAP_BYTES;
  bool tokens = false;  // may have types delegated to a container
  uint64_t maxMemory = limits::OPERATOR_MEMORY;
};

struct Reservation {  // at these places only an administrator, or who attaches by one of these roles
  TypeSet types;
  Places places;
  std::vector<std::string> roles;
  uint32_t line = 0;  // in the policy
};

template <typename Enum>
constexpr uint32_t bit(Enum value) {
  return 1u << static_cast<unsigned>(value);
}

}  // namespace bpfman
