#include "frontend/policy-reader.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <kj/debug.h>
#include <kj/vector.h>

namespace bpfman {
namespace {

constexpr uint32_t bit(ProgramClass c) { return 1u << unsigned(c); }
constexpr uint32_t bit(MapRight r) { return 1u << unsigned(r); }
constexpr uid_t UNMAPPED = 65534;  // how a user of another user namespace looks

kj::String quoted(std::string_view text) { return kj::str('"', kj::heapString(text.data(), text.size()), '"'); }
kj::String plain(std::string_view text) { return kj::heapString(text.data(), text.size()); }

kj::String listed(std::initializer_list<std::string_view> names) {
  kj::Vector<kj::String> parts;
  for (auto name : names) parts.add(plain(name));
  return kj::strArray(parts, ", ");
}

// getpwnam_r and getgrnam_r alike: a buffer that grows until the entry fits.
template <typename Entry, typename Get, typename Member>
kj::Maybe<uint32_t> lookUp(const std::string& name, Get get, Member id) {
  std::vector<char> buffer(4096);
  for (;;) {
    Entry entry, *found = nullptr;
    int error = get(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < (16 << 20)) {
      buffer.resize(buffer.size() * 2);
      continue;
    }
    if (found == nullptr) return nullptr;
    return entry.*id;
  }
}

Role roleOf(std::string name, Role::Base base) {
  Role role;
  role.name = std::move(name);
  role.base = base;
  role.mapRights = bit(MapRight::read);
  if (base == Role::operator_) {
    role.classes = bit(ProgramClass::network);
    role.ownNamespaces = true;
  }
  return role;
}

}  // namespace

kj::Maybe<gid_t> groupNamed(const std::string& name) { return lookUp<group>(name, getgrnam_r, &group::gr_gid); }
kj::Maybe<uid_t> userNamed(const std::string& name) { return lookUp<passwd>(name, getpwnam_r, &passwd::pw_uid); }

std::shared_ptr<const Role> builtInRole(std::string_view name) {
  static const std::map<std::string_view, std::shared_ptr<const Role>> ROLES = {
      {"administrator", std::make_shared<Role>(roleOf("administrator", Role::administrator))},
      {"operator", std::make_shared<Role>(roleOf("operator", Role::operator_))},
      {"viewer", std::make_shared<Role>(roleOf("viewer", Role::viewer))}};
  auto found = ROLES.find(name);
  return found == ROLES.end() ? nullptr : found->second;
}

std::vector<Grant> PolicyReader::read(kj::StringPtr text) {
  toml::table root;
  try {
    root = toml::parse(std::string_view(text.begin(), text.size()), std::string_view(name.begin(), name.size()));
  } catch (const toml::parse_error& error) { fail(error.source().begin, plain(error.description())); }
  requireKeys(root, "the policy", {"roles", "grant"});
  if (auto node = root.get("roles")) {
    for (auto& [key, value] : tableOf(*node, "roles")) {
      std::string roleName(key.str());
      if (builtInRole(roleName) != nullptr) fail(key.source().begin, "role ", quoted(roleName), " is built in: give yours another name");
      roles.emplace(roleName, std::make_shared<Role>(readRole(roleName, tableOf(value, roleName))));
    }
  }
  std::vector<Grant> grants;
  if (auto node = root.get("grant")) {
    for (auto& grant : arrayOf(*node, "grant (write it as [[grant]])")) grants.push_back(readGrant(tableOf(grant, "grant")));
  }
  return grants;
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
              {"base", "classes", "interfaces", "namespaces", "map_rights", "priorities", "max_programs", "max_map_bytes"});
  if (auto node = table.get("classes")) role.classes = bitsOf(*node, "classes", {"network", "cgroup", "observe", "control"});
  if (auto node = table.get("interfaces")) {
    for (auto& glob : arrayOf(*node, "interfaces")) {
      std::string text = textOf(glob, "an interface");
      if (text.empty() || text.size() > limits::NAME_BYTES) fail(glob.source().begin, "an interface's pattern has 1 to 255 characters");
      role.interfaces.push_back(text);
    }
  }
  if (auto node = table.get("namespaces")) {
    role.ownNamespaces = false;
    for (auto& entry : arrayOf(*node, "namespaces")) readNamespace(role, entry);
  }
  if (auto node = table.get("priorities")) {
    auto& range = arrayOf(*node, "priorities");
    if (range.size() != 2) fail(node->source().begin, "priorities are two numbers: [least, most]");
    role.minPriority = numberOf(*range.get(0), "priority", 0, limits::PRIORITY_MAX);
    role.maxPriority = numberOf(*range.get(1), "priority", role.minPriority, limits::PRIORITY_MAX);
  }
  if (auto node = table.get("max_programs")) role.maxPrograms = numberOf(*node, "max_programs", 0, UINT32_MAX);
  if (auto node = table.get("max_map_bytes")) role.maxMapBytes = numberOf(*node, "max_map_bytes", 0, INT64_MAX);
}

// A named namespace is looked up now and held open, so that its inode goes on meaning this one. Opening it can't block unless root's
// own policy names a file that does.
void PolicyReader::readNamespace(Role& role, const toml::node& node) {
  constexpr std::string_view NAMED = "named:";
  std::string text = textOf(node, "a namespace");
  if (text == "own") {
    role.ownNamespaces = true;
    return;
  }
  if (text == "host") {
    role.hostNamespace = true;
    return;
  }
  if (!text.starts_with(NAMED) || text.size() == NAMED.size()) {
    fail(node.source().begin, "namespace ", quoted(text), " is not one of \"own\", \"host\", \"named:PATH\"");
  }
  std::string path = text.substr(NAMED.size());
  if (path[0] != '/') fail(node.source().begin, "namespace ", quoted(text), ": the path must begin with /");
  auto held = std::make_shared<kj::AutoCloseFd>(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (held->get() < 0) {
    auto line = node.source().begin.line;
    remarks.push_back(kj::str(name, ":", line, ": namespace ", path.c_str(), ": ", strerror(errno), ": nobody is given it").cStr());
    return;
  }
  struct statfs system;
  struct stat status;
  KJ_SYSCALL(fstatfs(*held, &system));
  KJ_SYSCALL(fstat(*held, &status));
  if (system.f_type != NSFS_MAGIC || ioctl(*held, NS_GET_NSTYPE) != CLONE_NEWNET) {
    fail(node.source().begin, path.c_str(), " is not a network namespace");
  }
  role.namespaces.push_back({path, status.st_ino, std::move(held)});
}

Grant PolicyReader::readGrant(const toml::table& table) {
  requireKeys(table, "a grant", {"users", "groups", "roles"});
  Grant grant{idsOf(table, "users", userNamed), idsOf(table, "groups", groupNamed), {}};
  auto line = table.source().begin;
  if (grant.users.empty() && grant.groups.empty()) fail(line, "a grant needs users or groups");
  if (std::ranges::find(grant.users, UNMAPPED) != grant.users.end() || std::ranges::find(grant.groups, UNMAPPED) != grant.groups.end()) {
    remarks.push_back(kj::str(name, ":", line.line, ": id ", UNMAPPED, " is also every user of a foreign user namespace").cStr());
  }
  auto node = table.get("roles");
  if (node == nullptr) fail(line, "a grant needs roles");
  for (auto& entry : arrayOf(*node, "roles")) {
    std::string roleName = textOf(entry, "a role");
    auto role = builtInRole(roleName);
    if (auto own = roles.find(roleName); own != roles.end()) role = own->second;
    if (role == nullptr) fail(entry.source().begin, "unknown role ", quoted(roleName), ": define it as [roles.", roleName.c_str(), "]");
    grant.roles.push_back(role);
  }
  return grant;
}

template <typename Id>
std::vector<Id> PolicyReader::idsOf(const toml::table& table, std::string_view key, kj::Maybe<Id> (*named)(const std::string&)) const {
  std::vector<Id> ids;
  auto node = table.get(key);
  if (node == nullptr) return ids;
  for (auto& entry : arrayOf(*node, key)) {
    if (entry.is_integer()) {
      ids.push_back(numberOf(entry, "id", 0, UINT32_MAX - 1));
      continue;
    }
    std::string text = textOf(entry, "a name (or number)");
    KJ_IF_MAYBE (id, named(text)) {
      ids.push_back(*id);
    } else {
      fail(entry.source().begin, "there is no ", plain(key.substr(0, key.size() - 1)), " ", quoted(text));
    }
  }
  return ids;
}

void PolicyReader::requireKeys(const toml::table& table, std::string_view what, std::initializer_list<std::string_view> keys) const {
  for (auto& [key, value] : table) {
    if (std::ranges::find(keys, key.str()) != keys.end()) continue;
    fail(key.source().begin, "unknown key ", quoted(key.str()), ": ", plain(what), " has only ", listed(keys));
  }
}

const toml::table& PolicyReader::tableOf(const toml::node& node, std::string_view what) const {
  auto table = node.as_table();
  if (table == nullptr) fail(node.source().begin, plain(what), " must be a table");
  return *table;
}

const toml::array& PolicyReader::arrayOf(const toml::node& node, std::string_view what) const {
  auto array = node.as_array();
  if (array == nullptr) fail(node.source().begin, plain(what), " must be an array");
  return *array;
}

std::string PolicyReader::textOf(const toml::node& node, std::string_view what) const {
  auto text = node.as_string();
  if (text == nullptr) fail(node.source().begin, plain(what), " must be a string");
  if (text->get().find('\0') != std::string::npos) fail(node.source().begin, plain(what), " must not contain a zero byte");
  return text->get();
}

int64_t PolicyReader::numberOf(const toml::node& node, std::string_view what, int64_t least, int64_t most) const {
  auto number = node.as_integer();
  if (number == nullptr) fail(node.source().begin, plain(what), " must be a whole number");
  if (number->get() < least || number->get() > most) fail(node.source().begin, plain(what), " must be between ", least, " and ", most);
  return number->get();
}

uint32_t PolicyReader::bitsOf(const toml::node& node, std::string_view what, std::initializer_list<std::string_view> names) const {
  uint32_t bits = 0;
  for (auto& entry : arrayOf(node, what)) {
    std::string text = textOf(entry, what);
    auto found = std::ranges::find(names, text);
    if (found == names.end()) fail(entry.source().begin, quoted(text), " in ", plain(what), " is not one of ", listed(names));
    bits |= 1u << (found - names.begin());
  }
  return bits;
}

}  // namespace bpfman
