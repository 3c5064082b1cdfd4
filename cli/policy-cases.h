// The test file of a policy: accounts that it pretends, and decisions that it expects. The format: docs/policy.md.
#pragma once

#include "cli/policy-question.h"

#include <map>
#include <utility>

namespace bpfman {

// What the test file says there is; otherwise this machine's accounts. Every path is a network namespace of its own, which nobody made.
class Pretended final : public Surroundings {
 public:
  std::map<std::string, std::pair<uid_t, std::vector<std::string>>> users;  // with their groups
  std::map<std::string, gid_t> groups;

  kj::Maybe<uid_t> user(const std::string& name) const override;
  kj::Maybe<gid_t> group(const std::string& name) const override;
  FoundNamespace netns(const std::string& path) const override;
  std::vector<gid_t> groupsOf(const std::string& user) const override;

 private:
  mutable std::vector<std::string> paths;
};

struct PolicyCase {
  uint32_t line;
  Question question;
  bool allowed;        // expected
  std::string reason;  // a part of the explanation; may be empty
};

struct PolicyCases {
  Pretended around;
  std::string policy;  // its path, as the file has it; may be empty
  std::vector<PolicyCase> cases;

  static PolicyCases parse(kj::StringPtr text, kj::StringPtr name);
  std::vector<std::string> failures(const Policy& policy, kj::StringPtr name) const;  // a line for each, "FILE:LINE: …"
};

}  // namespace bpfman
