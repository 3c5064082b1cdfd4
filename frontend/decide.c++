#include "frontend/decide.h"

#include <fnmatch.h>

#include <algorithm>

#include <kj/vector.h>

namespace bpfman {
namespace {

constexpr kj::StringPtr MAP_RIGHTS[] = {"read"_kj, "descriptor"_kj, "write"_kj};
constexpr kj::StringPtr MAP_DEEDS[] = {"read"_kj, "hand out descriptors of"_kj, "write"_kj};
constexpr kj::StringPtr BASES[] = {"administrator"_kj, "operator"_kj, "viewer"_kj};

template <size_t N, typename Name>
kj::String listed(std::bitset<N> bits, Name name) {
  kj::Vector<kj::StringPtr> names;
  for (unsigned i = 0; i < N; ++i) {
    if (bits.test(i)) names.add(name(i));
  }
  return names.empty() ? kj::str("none") : kj::strArray(names, ", ");
}

kj::String listed(const std::vector<std::string>& words) {
  kj::Vector<kj::StringPtr> texts;
  for (auto& word : words) texts.add(word.c_str());
  return words.empty() ? kj::str("none") : kj::strArray(texts, ", ");
}

kj::String typeAndClass(schema::ProgramType type) { return kj::str("type ", typeName(type), " (class ", className(classOf(type)), ")"); }

kj::StringPtr whose(const AttachTarget& target) {
  return target.hostNetns ? "the host's"_kj : target.ownNetns ? "his own"_kj : "someone else's"_kj;
}

bool inNamespace(const Places& places, const AttachTarget& target) {
  bool listed = target.hostNetns ? places.hostNamespace : places.ownNamespaces && target.ownNetns;
  return listed || std::ranges::any_of(places.namespaces, [&](auto& named) { return named.nsid == target.nsid; });
}

bool onInterface(const Places& places, const AttachTarget& target) {
  return std::ranges::any_of(places.interfaces, [&](auto& glob) { return fnmatch(glob.c_str(), target.interface.cStr(), 0) == 0; });
}

bool atPriority(const Places& places, int32_t priority) { return priority >= places.minPriority && priority <= places.maxPriority; }

kj::String namespacesOf(const Places& places) {
  std::vector<std::string> words;
  if (places.hostNamespace) words.push_back("host");
  if (places.ownNamespaces) words.push_back("own");
  for (auto& named : places.namespaces) words.push_back("named:" + named.path);
  return listed(words);
}

kj::String ownHostOr(bool own, bool host, std::vector<std::string> words = {}) {
  if (host) words.insert(words.begin(), "host");
  if (own) words.insert(words.begin(), "own");
  return listed(words);
}

kj::String cgroupsOf(const Places& places) { return ownHostOr(places.ownCgroups, places.hostCgroups, places.cgroups); }

bool inCgroup(const Places& places, const AttachTarget& target) {
  auto matches = [&](auto& glob) { return target.cgroup.size() > 0 && fnmatch(glob.c_str(), target.cgroup.cStr(), 0) == 0; };
  return places.hostCgroups || (places.ownCgroups && target.own) || std::ranges::any_of(places.cgroups, matches);
}

kj::StringPtr ownerOf(const AttachTarget& target) { return target.own ? "his own"_kj : "someone else's"_kj; }
kj::String cgroupIn(const AttachTarget& target) {
  return kj::str(ownerOf(target), " cgroup", target.cgroup.size() > 0 ? " " : "", target.cgroup);
}

struct Missing {
  std::vector<std::string> found;

  template <typename... Parts>
  void add(Parts&&... parts) {
    found.push_back(kj::str(kj::fwd<Parts>(parts)...).cStr());
  }
  void requireClass(const Role& role, schema::ProgramType type) {
    auto needed = classOf(type);
    if (!(role.classes & bit(needed))) add("not class ", className(needed), " (classes: ", classNames(role.classes), ")");
  }
};

void addAttach(Missing& missing, const Role& role, const AttachTarget& target, const std::vector<Reservation>& reservations) {
  missing.requireClass(role, target.type);
  auto& places = role.places;
  if (targetOf(target.type) == TargetKind::cgroup && !inCgroup(places, target))
    missing.add("not ", cgroupIn(target), " (cgroups: ", cgroupsOf(places), ")");
  if (targetOf(target.type) == TargetKind::binary && !places.hostBinaries) {
    auto binaries = ownHostOr(places.ownBinaries, false);
    if (!places.ownBinaries || !target.own) missing.add("not ", ownerOf(target), " binary (binaries: ", binaries, ")");
    if (!target.ownProcess) missing.add("only in one process, of his own (binaries: ", binaries, ")");
  }
  bool interface = targetOf(target.type) == TargetKind::interface;
  if (!interface && targetOf(target.type) != TargetKind::netns) return;
  if (!inNamespace(places, target)) missing.add("not in ", whose(target), " network namespace (namespaces: ", namespacesOf(places), ")");
  if (!interface) return;
  if (!onInterface(places, target)) missing.add("not interface ", target.interface, " (interfaces: ", listed(places.interfaces), ")");
  if (!atPriority(places, target.priority))
    missing.add("not priority ", target.priority, " (priorities: ", places.minPriority, " to ", places.maxPriority, ")");
  for (auto& reserved : reservations) {
    bool meant = reserved.types.test(static_cast<size_t>(target.type)) && inNamespace(reserved.places, target) &&
                 onInterface(reserved.places, target) && atPriority(reserved.places, target.priority);
    if (!meant || std::ranges::find(reserved.roles, role.name) != reserved.roles.end()) continue;
    missing.add("priority ", target.priority, " is reserved for ",
                reserved.roles.empty() ? kj::str("administrators") : listed(reserved.roles), " (line ", reserved.line, ")");
  }
}

}  // namespace

Request Request::toLoad(TypeSet types, uint32_t programs) { return {load, {}, types, programs, 0, MapRight::read}; }
Request Request::toAttach(const AttachTarget& target) { return {attach, target, 0, 0, 0, MapRight::read}; }
Request Request::toChange(uid_t owner) { return {change, {}, 0, 0, owner, MapRight::read}; }
Request Request::toMap(MapRight right, uid_t owner) { return {map, {}, 0, 0, owner, right}; }
Request Request::toDelegate(TypeSet types) { return {token, {}, types, 0, 0, MapRight::read}; }

kj::String describe(const Request& request) {
  auto& target = request.target;
  switch (request.kind) {
    case Request::view: return kj::str("view this host's eBPF programs");
    case Request::load:
    case Request::token: {
      kj::Vector<kj::String> types;
      for (unsigned i = 0; i < request.types.size(); ++i) {
        if (request.types.test(i)) types.add(typeAndClass(static_cast<schema::ProgramType>(i)));
      }
      auto deed = request.kind == Request::token ? "have a token to load "_kj : "load "_kj;
      return kj::str(deed, types.empty() ? kj::str("programs") : kj::strArray(types, " and "));
    }
    case Request::attach:
      if (targetOf(target.type) == TargetKind::none || targetOf(target.type) == TargetKind::map)
        return kj::str("attach ", typeAndClass(target.type));
      if (targetOf(target.type) == TargetKind::netns)
        return kj::str("attach ", typeAndClass(target.type), " in ", whose(target), " network namespace");
      if (targetOf(target.type) == TargetKind::cgroup) return kj::str("attach ", typeAndClass(target.type), " to ", cgroupIn(target));
      if (targetOf(target.type) == TargetKind::binary)
        return kj::str("attach ", typeAndClass(target.type), " to ", ownerOf(target), " binary in ",
                       target.ownProcess ? "a process of his own" : "processes of others");
      return kj::str("attach ", typeAndClass(target.type), " to interface ", target.interface, " in ", whose(target),
                     " network namespace with priority ", target.priority);
    case Request::change: return kj::str("change programs of user ", request.owner);
    case Request::map: return kj::str(MAP_DEEDS[unsigned(request.right)], " maps of programs of user ", request.owner);
  }
  KJ_UNREACHABLE;
}

std::vector<std::string> lacks(const Role& role, const Request& request, uid_t uid, const std::vector<Reservation>& reservations) {
  Missing missing;
  if (role.base == Role::administrator || request.kind == Request::view) return {};
  bool looksOnly = role.base == Role::viewer;
  if (request.kind == Request::map) {
    // An operator's rights are those to maps of his own programs; a viewer has none of his own and is given all.
    if (!(role.mapRights & bit(request.right)))
      missing.add("not ", MAP_RIGHTS[unsigned(request.right)], " (map_rights: ", mapRightNames(role.mapRights), ")");
    if (!looksOnly && request.owner != uid) missing.add("only maps of his own programs");
  } else if (looksOnly) {
    missing.add("only looks");
  } else if (request.kind == Request::load || request.kind == Request::token) {
    if (request.kind == Request::token && !role.tokens) missing.add("no tokens (tokens: false)");
    for (unsigned i = 0; i < request.types.size(); ++i) {
      if (request.types.test(i)) missing.requireClass(role, static_cast<schema::ProgramType>(i));
    }
    if (request.programs > role.maxPrograms)
      missing.add("not ", request.programs, " programs at once (max_programs: ", role.maxPrograms, ")");
  } else if (request.kind == Request::change) {
    if (request.owner != uid) missing.add("only his own programs");
  } else {
    addAttach(missing, role, request.target, reservations);
  }
  return std::move(missing.found);
}

kj::String describe(const Places& places) {
  bool cgroups = places.ownCgroups || places.hostCgroups || !places.cgroups.empty(), binaries = places.ownBinaries || places.hostBinaries;
  auto others = kj::str(cgroups ? "; cgroups " : "", cgroups ? cgroupsOf(places) : kj::String(), binaries ? "; binaries " : "",
                        binaries ? ownHostOr(places.ownBinaries, places.hostBinaries) : kj::String());
  return kj::str(listed(places.interfaces), "; namespaces ", namespacesOf(places), "; priorities ", places.minPriority, " to ",
                 places.maxPriority, others);
}

kj::StringPtr baseName(Role::Base base) { return BASES[base]; }

kj::String classNames(uint32_t classes) {
  return listed(std::bitset<unsigned(ProgramClass::count)>(classes), [](unsigned i) { return className(static_cast<ProgramClass>(i)); });
}

kj::String mapRightNames(uint32_t rights) {
  return listed(std::bitset<unsigned(MapRight::count)>(rights), [](unsigned i) { return MAP_RIGHTS[i]; });
}

kj::String typeNames(TypeSet types) {
  return listed(types, [](unsigned i) { return typeName(static_cast<schema::ProgramType>(i)); });
}

}  // namespace bpfman
