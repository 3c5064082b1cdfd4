#include "frontend/policy-reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bpfman {
namespace {

constexpr uid_t UNMAPPED = 65534;  // how a user of another user namespace looks

using T = schema::ProgramType;
constexpr T NETWORK_TYPES[] = {T::XDP, T::TC, T::TCX, T::NETKIT};  // those that have priorities

Role roleOf(std::string name, Role::Base base) {
  Role role;
  role.name = std::move(name);
  role.base = base;
  role.mapRights = bit(MapRight::read);
  if (base == Role::operator_) {
    role.classes = bit(ProgramClass::network);
    role.places.ownNamespaces = role.places.ownCgroups = role.places.ownBinaries = true;
  }
  return role;
}

}  // namespace

std::shared_ptr<const Role> builtInRole(std::string_view name) {
  static const std::map<std::string_view, std::shared_ptr<const Role>> ROLES = {
      {"administrator", std::make_shared<Role>(roleOf("administrator", Role::administrator))},
      {"operator", std::make_shared<Role>(roleOf("operator", Role::operator_))},
      {"viewer", std::make_shared<Role>(roleOf("viewer", Role::viewer))}};
  auto found = ROLES.find(name);
  return found == ROLES.end() ? nullptr : found->second;
}

template <typename... Parts>
void PolicyReader::gone(const toml::node& node, Parts&&... parts) {
  auto at = node.source().begin;
  if (names == Names::known) fail(at, kj::fwd<Parts>(parts)...);
  remarks.push_back(kj::str(name, ":", at.line, ": ", kj::fwd<Parts>(parts)..., " any more: nobody is given it").cStr());
}

void PolicyReader::read(kj::StringPtr text) {
  toml::table root = parse(text);
  requireKeys(root, "the policy", {"roles", "grant", "reserve", "order", "exclusive"});
  if (auto node = root.get("roles")) {
    for (auto& [key, value] : tableOf(*node, "roles")) {
      std::string roleName(key.str());
      if (builtInRole(roleName) != nullptr) fail(key.source().begin, "role ", quoted(roleName), " is built in: give yours another name");
      roles.emplace(roleName, std::make_shared<Role>(readRole(roleName, tableOf(value, roleName))));
    }
  }
  if (auto node = root.get("reserve")) {
    for (auto& each : arrayOf(*node, "reserve (write it as [[reserve]])"))
      reservations.push_back(readReservation(tableOf(each, "reserve")));
  }
  if (auto node = root.get("order")) {
    for (auto& each : arrayOf(*node, "order (write it as [[order]])")) orderRules.push_back(readOrderRule(tableOf(each, "order")));
  }
  if (auto node = root.get("exclusive")) exclusive = interfacesOf(*node, "exclusive");
  if (auto node = root.get("grant")) {
    for (auto& grant : arrayOf(*node, "grant (write it as [[grant]])")) grants.push_back(readGrant(tableOf(grant, "grant")));
  }
}

Role PolicyReader::readRole(const std::string& roleName, const toml::table& table) {
  auto node = table.get("base");
  if (node == nullptr) fail(table.source().begin, "role ", quoted(roleName), " has no base: administrator, operator or viewer");
  std::string base = textOf(*node, "base");
  auto model = builtInRole(base);
  if (model == nullptr) fail(node->source().begin, "base ", quoted(base), " is not one of administrator, operator, viewer");

  Role role = *model;
  role.name = roleName;
  if (role.base == Role::administrator) requireKeys(table, "an administrator's role, which nothing limits,", {"base"});
  if (role.base == Role::viewer) requireKeys(table, "a viewer's role", {"base", "map_rights"});
  if (auto rights = table.get("map_rights")) {
    role.mapRights = bitsOf(*rights, "map_rights", {"read", "descriptor", "write"});
    if (role.base == Role::viewer && role.mapRights & bit(MapRight::write)) {
      fail(rights->source().begin, "a viewer changes nothing: map_rights can't have \"write\"");
    }
  }
  if (role.base == Role::operator_) readOperator(role, table);
  return role;
}

void PolicyReader::readOperator(Role& role, const toml::table& table) {
  requireKeys(table, "an operator's role",
              {"base", "classes", "interfaces", "namespaces", "cgroups", "binaries", "map_rights", "priorities", "max_programs",
               "max_map_bytes", "max_memory", "tokens"});
  if (auto node = table.get("classes")) role.classes = bitsOf(*node, "classes", {"network", "cgroup", "observe", "control"});
  readPlaces(role.places, table);
  if (auto node = table.get("cgroups")) {
    role.places.cgroups = ownHostOr(*node, "cgroups", role.places.ownCgroups, role.places.hostCgroups);
    for (auto& path : role.places.cgroups)
      if (path[0] != '/')
        fail(node->source().begin, "cgroup ", quoted(path), " is not one of \"own\", \"host\", \"/PATH\" (\"/PATH/*\": what is beneath)");
  }
  if (auto node = table.get("binaries")) {
    auto others = ownHostOr(*node, "binaries", role.places.ownBinaries, role.places.hostBinaries);
    if (!others.empty()) fail(node->source().begin, "binary ", quoted(others[0]), " is not one of \"own\", \"host\"");
  }
  if (auto node = table.get("tokens")) {
    if (!node->is_boolean()) fail(node->source().begin, "tokens is true or false");
    role.tokens = node->as_boolean()->get();
  }
  if (auto node = table.get("max_programs")) role.maxPrograms = numberOf(*node, "max_programs", 0, UINT32_MAX);
  if (auto node = table.get("max_map_bytes")) role.maxMapBytes = numberOf(*node, "max_map_bytes", 0, INT64_MAX);
  if (auto node = table.get("max_memory")) role.maxMemory = numberOf(*node, "max_memory", 0, INT64_MAX);
}

// What the list has besides the two words. The key replaces the default, so that an empty list gives nothing.
std::vector<std::string> PolicyReader::ownHostOr(const toml::node& node, std::string_view what, bool& own, bool& host) {
  std::vector<std::string> others;
  own = host = false;
  for (auto& entry : arrayOf(node, what)) {
    std::string text = textOf(entry, what);
    if (text == "own" || text == "host")
      (text == "own" ? own : host) = true;
    else
      others.push_back(text);
  }
  return others;
}

std::vector<std::string> PolicyReader::interfacesOf(const toml::node& node, std::string_view what) {
  std::vector<std::string> patterns;
  for (auto& glob : arrayOf(node, what)) {
    std::string text = textOf(glob, "an interface");
    if (text.empty() || text.size() > limits::NAME_BYTES) fail(glob.source().begin, "an interface's pattern has 1 to 255 characters");
    patterns.push_back(text);
  }
  return patterns;
}

void PolicyReader::readPlaces(Places& places, const toml::table& table) {
  if (auto node = table.get("interfaces")) places.interfaces = interfacesOf(*node, "interfaces");
  if (auto node = table.get("namespaces")) {
    places.ownNamespaces = places.hostNamespace = false;
    for (auto& entry : arrayOf(*node, "namespaces")) readNamespace(places, entry);
  }
  if (auto node = table.get("priorities")) {
    auto& range = arrayOf(*node, "priorities");
    if (range.size() != 2) fail(node->source().begin, "priorities are two numbers: [least, most]");
    places.minPriority = numberOf(*range.get(0), "priority", 0, limits::PRIORITY_MAX);
    places.maxPriority = numberOf(*range.get(1), "priority", places.minPriority, limits::PRIORITY_MAX);
  }
}

// A named namespace is looked up now and held open, so that its inode goes on meaning this one.
void PolicyReader::readNamespace(Places& places, const toml::node& node) {
  constexpr std::string_view NAMED = "named:";
  std::string text = textOf(node, "a namespace");
  if (text == "own" || text == "host") {
    (text == "own" ? places.ownNamespaces : places.hostNamespace) = true;
    return;
  }
  if (!text.starts_with(NAMED) || text.size() == NAMED.size()) {
    fail(node.source().begin, "namespace ", quoted(text), " is not one of \"own\", \"host\", \"named:PATH\"");
  }
  std::string path = text.substr(NAMED.size());
  if (path[0] != '/') fail(node.source().begin, "namespace ", quoted(text), ": the path must begin with /");
  auto found = around.netns(path);
  if (found.error == EINVAL) {
    gone(node, path.c_str(), " is not a network namespace");
  } else if (found.error) {
    auto line = node.source().begin.line;
    remarks.push_back(kj::str(name, ":", line, ": namespace ", path.c_str(), ": ", strerror(found.error), ": nobody is given it").cStr());
  } else {
    places.namespaces.push_back({path, found.nsid, std::move(found.held)});
  }
}

std::shared_ptr<const Role> PolicyReader::roleNamed(const toml::node& node) const {
  std::string roleName = textOf(node, "a role");
  if (auto own = roles.find(roleName); own != roles.end()) return own->second;
  auto role = builtInRole(roleName);
  if (role == nullptr) fail(node.source().begin, "unknown role ", quoted(roleName), ": define it as [roles.", roleName.c_str(), "]");
  return role;
}

TypeSet PolicyReader::typesOf(const toml::node& node) const {
  TypeSet types;
  uint32_t places = bitsOf(node, "types", {"xdp", "tc", "tcx", "netkit"});
  for (size_t i = 0; i < std::size(NETWORK_TYPES); ++i)
    if (places >> i & 1) types |= setOf({NETWORK_TYPES[i]});
  return types;
}

// Namespaces that a user made are his own, so without the key a reservation means the host's only.
Reservation PolicyReader::readReservation(const toml::table& table) {
  auto at = table.source().begin;
  requireKeys(table, "a reservation", {"types", "interfaces", "namespaces", "priorities", "roles"});
  Reservation reservation;
  reservation.line = at.line;
  reservation.places.interfaces = {"*"};
  reservation.places.hostNamespace = true;
  for (T type : NETWORK_TYPES) reservation.types |= setOf({type});
  if (auto node = table.get("types")) reservation.types = typesOf(*node);
  if (table.get("priorities") == nullptr) fail(at, "a reservation needs priorities = [least, most]");
  readPlaces(reservation.places, table);
  if (auto node = table.get("roles")) {
    for (auto& entry : arrayOf(*node, "roles")) {
      auto role = roleNamed(entry);
      if (role->base != Role::operator_)
        fail(entry.source().begin, "role ", quoted(role->name), " needs no reservation: only operators' attach by priority");
      reservation.roles.push_back(role->name);
    }
  }
  return reservation;
}

OrderRule PolicyReader::readOrderRule(const toml::table& table) {
  auto at = table.source().begin;
  requireKeys(table, "an order rule", {"types", "interfaces", "first", "last"});
  OrderRule rule;
  rule.line = at.line;
  Places places;
  places.interfaces = {"*"};
  for (T type : NETWORK_TYPES) rule.types |= setOf({type});
  if (auto node = table.get("types")) rule.types = typesOf(*node);
  readPlaces(places, table);
  rule.interfaces = std::move(places.interfaces);
  auto selectors = [&](const char* key, std::vector<Selector>& into) {
    if (auto node = table.get(key))
      for (auto& each : arrayOf(*node, key)) into.push_back(readSelector(tableOf(each, "a selector")));
  };
  selectors("first", rule.first);
  selectors("last", rule.last);
  if (rule.first.empty() && rule.last.empty())
    fail(at, "an order rule needs first or last: lists of selectors, as { name = \"firewall\" }");
  return rule;
}

Selector PolicyReader::readSelector(const toml::table& table) {
  requireKeys(table, "a selector", {"name", "application", "owner", "image", "label"});
  if (table.empty()) fail(table.source().begin, "a selector needs name, application, owner, image or label");
  Selector selector;
  auto text = [&](const char* key, std::string& into) {
    auto node = table.get(key);
    if (node == nullptr) return;
    into = textOf(*node, key);
    if (into.empty()) fail(node->source().begin, key, " can't be empty; leave it out");
  };
  text("name", selector.name);
  text("application", selector.application);
  text("image", selector.image);
  if (auto node = table.get("label")) {
    std::string label = textOf(*node, "label");
    auto equals = label.find('=');
    if (equals == std::string::npos || equals == 0) fail(node->source().begin, "label ", quoted(label), ": expected \"KEY=PATTERN\"");
    selector.labelKey = label.substr(0, equals), selector.labelValue = label.substr(equals + 1);
  }
  if (auto node = table.get("owner")) {
    if (node->is_integer()) {
      selector.owner = numberOf(*node, "owner", 0, UINT32_MAX - 1);
    } else {
      std::string user = textOf(*node, "owner");
      KJ_IF_MAYBE (uid, around.user(user)) {
        selector.owner = *uid;
      } else {
        gone(*node, "there is no user ", quoted(user));
        selector.owner = UINT32_MAX;  // nobody
      }
    }
  }
  return selector;
}

Grant PolicyReader::readGrant(const toml::table& table) {
  auto at = table.source().begin;
  requireKeys(table, "a grant", {"users", "groups", "roles"});
  Grant grant{idsOf(table, "users", &Surroundings::user), idsOf(table, "groups", &Surroundings::group), {}, at.line};
  auto some = [&](const char* key) { return table.get(key) != nullptr && !arrayOf(*table.get(key), key).empty(); };
  if (!some("users") && !some("groups")) fail(at, "a grant needs users or groups");
  if (std::ranges::find(grant.users, UNMAPPED) != grant.users.end() || std::ranges::find(grant.groups, UNMAPPED) != grant.groups.end()) {
    remarks.push_back(kj::str(name, ":", at.line, ": id ", UNMAPPED, " is also every user of a foreign user namespace").cStr());
  }
  auto node = table.get("roles");
  if (node == nullptr) fail(at, "a grant needs roles");
  for (auto& entry : arrayOf(*node, "roles")) grant.roles.push_back(roleNamed(entry));
  return grant;
}

template <typename Id>
std::vector<Id> PolicyReader::idsOf(const toml::table& table, std::string_view key,
                                    kj::Maybe<Id> (Surroundings::*named)(const std::string&) const) {
  std::vector<Id> ids;
  auto node = table.get(key);
  if (node == nullptr) return ids;
  for (auto& entry : arrayOf(*node, key)) {
    if (entry.is_integer()) {
      ids.push_back(numberOf(entry, "id", 0, UINT32_MAX - 1));
      continue;
    }
    std::string text = textOf(entry, "a name (or number)");
    KJ_IF_MAYBE (id, (around.*named)(text)) {
      ids.push_back(*id);
    } else {
      gone(entry, "there is no ", plain(key.substr(0, key.size() - 1)), " ", quoted(text));
    }
  }
  return ids;
}

}  // namespace bpfman
