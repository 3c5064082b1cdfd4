#include "cli/policy-question.h"

#include "cli/names.h"
#include "client/error.h"
#include "frontend/intake.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <kj/debug.h>

namespace bpfman {
namespace {

constexpr const char* ACTIONS = "view, load TYPE..., attach TYPE, token TYPE..., unload, or map read|descriptor|write";

template <typename Id>
Id idOf(const std::string& word, const char* what, kj::Maybe<Id> named) {
  KJ_IF_MAYBE (id, named) return *id;
  Id number = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc() && end == word.data() + word.size() && number != Id(-1)) return number;
  fail(kj::str("there is no ", what, " \"", word.c_str(), "\" here: give its number"));
}

uid_t userOf(const std::string& word, const Surroundings& around) { return idOf<uid_t>(word, "user", around.user(word)); }

MapRight mapRightOf(const std::string& word) {
  constexpr const char* NAMES[] = {"read", "descriptor", "write"};
  auto found = std::ranges::find(NAMES, word);
  if (found == std::end(NAMES)) fail(kj::str("unknown map right \"", word.c_str(), "\": read, descriptor or write"));
  return static_cast<MapRight>(found - NAMES);
}

// As the frontend sees it. The host's namespace is taken to be this command's.
void setNamespace(AttachTarget& target, const std::string& words, uid_t uid, const Surroundings& around) {
  std::string path = words.starts_with("named:") ? words.substr(6) : words;
  target.hostNetns = path == "host";
  target.ownNetns = path == "own";
  if (target.hostNetns || target.ownNetns) return;
  if (!path.starts_with("/")) fail(kj::str("namespace \"", words.c_str(), "\" is not host, own or an absolute path"));
  auto found = around.netns(path);
  if (found.error) fail(kj::str(path.c_str(), ": ", found.error == EINVAL ? "it is not a network namespace" : strerror(found.error)));
  target.nsid = found.nsid;
  if (found.held == nullptr) return;  // one that a test only pretends
  struct stat ours;
  KJ_SYSCALL(stat("/proc/self/ns/net", &ours));
  target.hostNetns = ours.st_ino == found.nsid;
  int copy;
  KJ_SYSCALL(copy = dup(*found.held));
  target.ownNetns = NamespaceTarget(kj::AutoCloseFd(copy), found.nsid).ownedBy(uid);
}

void requireWords(const Question& question, size_t least, size_t most) {
  if (question.action.size() < least || question.action.size() > most) fail(kj::str("the action is one of ", ACTIONS));
}

std::vector<Request> requestsOf(const Question& question, uid_t uid, const Surroundings& around) {
  auto& words = question.action;
  requireWords(question, 1, SIZE_MAX);
  uid_t owner = question.owner.empty() ? uid : userOf(question.owner, around);
  if (words[0] == "load" || words[0] == "token") {
    requireWords(question, 2, SIZE_MAX);
    TypeSet types;
    for (size_t i = 1; i < words.size(); ++i) types |= setOf({parseType(words[i])});
    return {words[0] == "load" ? Request::toLoad(types, question.programs) : Request::toDelegate(types)};
  }
  if (words[0] == "attach") {
    requireWords(question, 2, 2);
    AttachTarget target{parseType(words[1]), question.interface.c_str()};
    if (question.target != "own" && question.target != "host" && !question.target.starts_with("/"))
      fail(kj::str("target \"", question.target.c_str(), "\" is not host, own or a cgroup's path"));
    target.own = target.ownProcess = question.target == "own";
    if (question.target.starts_with("/")) target.cgroup = question.target.c_str();
    bool network = targetOf(target.type) == TargetKind::interface;
    if (network && question.interface.empty()) fail(kj::str("attach ", words[1].c_str(), " needs an interface"));
    target.priority = question.priority;
    setNamespace(target, question.netns, uid, around);
    return {Request::toChange(owner), Request::toAttach(target)};
  }
  if (words[0] == "map") {
    requireWords(question, 2, 2);
    return {Request::toMap(mapRightOf(words[1]), owner)};
  }
  requireWords(question, 1, 1);
  if (words[0] == "unload") return {Request::toChange(owner)};
  if (words[0] != "view") fail(kj::str("unknown action \"", words[0].c_str(), "\": it is one of ", ACTIONS));
  return {Request{}};
}

}  // namespace

Caller callerOf(const Question& question, const Surroundings& around) {
  Caller caller{userOf(question.user, around), around.groupsOf(question.user), 0};
  for (auto& group : question.groups) {
    gid_t gid = idOf<gid_t>(group, "group", around.group(group));
    if (std::ranges::find(caller.gids, gid) == caller.gids.end()) caller.gids.push_back(gid);
  }
  return caller;
}

std::string whoIs(const Question& question, const Caller& caller) {
  auto groups = caller.gids.empty() ? kj::str("no groups") : kj::str("groups ", kj::strArray(caller.gids, ", "));
  return kj::str("user ", question.user.c_str(), " (uid ", caller.uid, ", ", groups, ")").cStr();
}

std::string Answer::because() const {
  std::string denied;
  for (auto& [held, lacks] : decision.roles) {
    auto where = held.line == 0 ? kj::str("built in") : kj::str("granted in line ", held.line);
    auto role = kj::str("role ", held.role->name.c_str(), " (", where, ")");
    if (lacks.empty()) return kj::str(role, " allows it").cStr();
    for (auto& lack : lacks) denied += (&lack == &lacks[0] ? (denied.empty() ? "" : "; ") + std::string(role.cStr()) + ": " : ", ") + lack;
  }
  return denied.empty() ? "no grant means him" : denied;
}

Answer answer(const Policy& policy, const Question& question, const Surroundings& around) {
  auto caller = callerOf(question, around);
  auto rights = policy.rightsOf(caller);
  Answer last;
  for (auto& request : requestsOf(question, caller.uid, around)) {
    last = {request, rights.decide(request)};
    if (!last.decision.allowed) break;
  }
  return last;
}

}  // namespace bpfman
