// The policy file's text becomes roles and grants. Whatever it does not understand refuses the whole file, with line and column:
// a policy that is half understood protects nothing.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>
#include <toml++/toml.h>

#include "frontend/policy.h"
#include "frontend/refuse.h"
#include "frontend/rights.h"

namespace bpfman {

std::shared_ptr<const Role> builtInRole(std::string_view name);  // administrator, operator, viewer; else null
kj::Maybe<gid_t> groupNamed(const std::string& name);
kj::Maybe<uid_t> userNamed(const std::string& name);

class PolicyReader {
 public:
  explicit PolicyReader(kj::StringPtr name) : name(name) {}
  std::vector<Grant> read(kj::StringPtr text);
  const std::vector<std::string>& notes() const { return remarks; }

 private:
  kj::StringPtr name;
  std::map<std::string, std::shared_ptr<const Role>, std::less<>> roles;
  std::vector<std::string> remarks;

  template <typename... Parts>
  [[noreturn]] void fail(const toml::source_position& at, Parts&&... parts) const {
    refuse(name, ":", at.line, ":", at.column, ": ", kj::fwd<Parts>(parts)...);
  }
  void requireKeys(const toml::table& table, std::string_view what, std::initializer_list<std::string_view> keys) const;
  const toml::table& tableOf(const toml::node& node, std::string_view what) const;
  const toml::array& arrayOf(const toml::node& node, std::string_view what) const;
  std::string textOf(const toml::node& node, std::string_view what) const;
  int64_t numberOf(const toml::node& node, std::string_view what, int64_t least, int64_t most) const;
  uint32_t bitsOf(const toml::node& node, std::string_view what, std::initializer_list<std::string_view> names) const;

  Role readRole(const std::string& roleName, const toml::table& table);
  void readOperator(Role& role, const toml::table& table);
  void readNamespace(Role& role, const toml::node& node);
  Grant readGrant(const toml::table& table);
  template <typename Id>
  std::vector<Id> idsOf(const toml::table& table, std::string_view key, kj::Maybe<Id> (*named)(const std::string&)) const;
};

}  // namespace bpfman
