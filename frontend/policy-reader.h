// The policy file's text becomes roles, grants and reservations: a policy that is half understood protects nothing, so any mistake
// refuses it.
#pragma once

#include <map>
#include <vector>

#include "frontend/policy.h"
#include "frontend/toml-reader.h"

namespace bpfman {

std::shared_ptr<const Role> builtInRole(std::string_view name);  // administrator, operator, viewer; else null

class PolicyReader : private TomlReader {
 public:
  PolicyReader(kj::StringPtr name, const Surroundings& around, Names names) : TomlReader(name), around(around), names(names) {}
  void read(kj::StringPtr text);

  std::map<std::string, std::shared_ptr<const Role>, std::less<>> roles;
  std::vector<Grant> grants;
  std::vector<Reservation> reservations;
  std::vector<OrderRule> orderRules;
  std::vector<std::string> exclusive;
  std::vector<std::string> remarks;

 private:
  const Surroundings& around;
  Names names;

  template <typename... Parts>
  void gone(const toml::node& node, Parts&&... parts);  // a mistake, or a remark if names may be gone
  Role readRole(const std::string& roleName, const toml::table& table);
  void readOperator(Role& role, const toml::table& table);
  std::vector<std::string> ownHostOr(const toml::node& node, std::string_view what, bool& own, bool& host);
  std::vector<std::string> interfacesOf(const toml::node& node, std::string_view what);
  void readPlaces(Places& places, const toml::table& table);
  void readNamespace(Places& places, const toml::node& node);
  TypeSet typesOf(const toml::node& node) const;
  Grant readGrant(const toml::table& table);
  Reservation readReservation(const toml::table& table);
  OrderRule readOrderRule(const toml::table& table);
  Selector readSelector(const toml::table& table);
  std::shared_ptr<const Role> roleNamed(const toml::node& node) const;
  template <typename Id>
  std::vector<Id> idsOf(const toml::table& table, std::string_view key, kj::Maybe<Id> (Surroundings::*named)(const std::string&) const);
};

}  // namespace bpfman
