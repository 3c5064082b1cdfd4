// What a policy's names mean on a machine: accounts, and network namespaces by path. `bpfman policy test` has some of its own, so that
// a policy can be tested on a machine that lacks them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <kj/common.h>
#include <kj/io.h>

namespace bpfman {

struct FoundNamespace {
  uint64_t nsid;
  std::shared_ptr<kj::AutoCloseFd> held;
  int error;  // 0; EINVAL: that is no network namespace; another errno: it could not be opened
};

class Surroundings {
 public:
  virtual kj::Maybe<uid_t> user(const std::string& name) const = 0;
  virtual kj::Maybe<gid_t> group(const std::string& name) const = 0;
  virtual FoundNamespace netns(const std::string& path) const = 0;
  virtual std::vector<gid_t> groupsOf(const std::string& user) const = 0;  // of an account, by name; none: unknown
};

const Surroundings& thisMachine();

}  // namespace bpfman
