#include "cli/policy-cases.h"

#include "cli/values.h"
#include "client/error.h"
#include "frontend/toml-reader.h"

#include <algorithm>

namespace bpfman {
namespace {

class CasesReader : private TomlReader {
 public:
  explicit CasesReader(kj::StringPtr name) : TomlReader(name) {}

  PolicyCases read(kj::StringPtr text) {
    toml::table root = parse(text);
    requireKeys(root, "a policy's test", {"policy", "users", "groups", "case"});
    if (auto node = root.get("policy")) file.policy = textOf(*node, "policy");
    if (auto node = root.get("groups")) {
      for (auto& [key, value] : tableOf(*node, "groups")) file.around.groups[std::string(key.str())] = idOf(value);
    }
    if (auto node = root.get("users")) {
      for (auto& [key, value] : tableOf(*node, "users")) readUser(std::string(key.str()), value);
    }
    auto cases = root.get("case");
    if (cases == nullptr || arrayOf(*cases, "case (write it as [[case]])").empty()) fail(root.source().begin, "there is no [[case]]");
    for (auto& each : arrayOf(*cases, "case")) file.cases.push_back(readCase(tableOf(each, "case")));
    return std::move(file);
  }

 private:
  PolicyCases file;

  uint32_t idOf(const toml::node& node) const { return numberOf(node, "an id", 0, UINT32_MAX - 1); }

  // Names stay words; a number may also be written without quotes.
  std::string wordOf(const toml::node& node, std::string_view what) const {
    return node.is_integer() ? std::to_string(idOf(node)) : textOf(node, what);
  }

  std::vector<std::string> wordsOf(const toml::node& node, std::string_view what) const {
    std::vector<std::string> words;
    for (auto& each : arrayOf(node, what)) words.push_back(wordOf(each, what));
    return words;
  }

  void readUser(const std::string& user, const toml::node& node) {
    auto& [uid, groups] = file.around.users[user];
    if (node.is_integer()) {
      uid = idOf(node);
      return;
    }
    auto& table = tableOf(node, "a user (a number, or { uid = …, groups = […] })");
    requireKeys(table, "a user", {"uid", "groups"});
    if (table.get("uid") == nullptr) fail(table.source().begin, "user ", quoted(user), " needs a uid");
    uid = idOf(*table.get("uid"));
    if (auto list = table.get("groups")) groups = wordsOf(*list, "groups");
  }

  PolicyCase readCase(const toml::table& table) const {
    auto at = table.source().begin;
    requireKeys(
        table, "a case",
        {"user", "uid", "groups", "action", "interface", "namespace", "target", "priority", "owner", "programs", "expect", "reason"});
    for (auto key : {"action", "expect"}) {
      if (table.get(key) == nullptr) fail(at, "a case needs ", key);
    }
    if ((table.get("user") != nullptr) == (table.get("uid") != nullptr)) fail(at, "a case needs a user or a uid");
    PolicyCase one{at.line, {}, false, {}};
    auto& question = one.question;
    if (auto node = table.get("user")) question.user = wordOf(*node, "user");
    if (auto node = table.get("uid")) question.user = std::to_string(idOf(*node));
    if (auto node = table.get("groups")) question.groups = wordsOf(*node, "groups");
    question.action = split(textOf(*table.get("action"), "action"), ' ');
    if (auto node = table.get("interface")) question.interface = textOf(*node, "interface");
    if (auto node = table.get("namespace")) question.netns = textOf(*node, "namespace");
    if (auto node = table.get("target")) question.target = textOf(*node, "target");
    if (auto node = table.get("priority")) question.priority = numberOf(*node, "priority", 0, limits::PRIORITY_MAX);
    if (auto node = table.get("owner")) question.owner = wordOf(*node, "owner");
    if (auto node = table.get("programs")) question.programs = numberOf(*node, "programs", 0, UINT32_MAX);
    if (auto node = table.get("reason")) one.reason = textOf(*node, "reason");
    auto expect = textOf(*table.get("expect"), "expect");
    if (expect != "allow" && expect != "deny") fail(table.get("expect")->source().begin, "expect is \"allow\" or \"deny\"");
    one.allowed = expect == "allow";
    return one;
  }
};

}  // namespace

kj::Maybe<uid_t> Pretended::user(const std::string& name) const {
  auto found = users.find(name);
  return found == users.end() ? thisMachine().user(name) : kj::Maybe<uid_t>(found->second.first);
}

kj::Maybe<gid_t> Pretended::group(const std::string& name) const {
  auto found = groups.find(name);
  return found == groups.end() ? thisMachine().group(name) : kj::Maybe<gid_t>(found->second);
}

FoundNamespace Pretended::netns(const std::string& path) const {
  auto found = std::ranges::find(paths, path);
  uint64_t nsid = found - paths.begin() + 1;
  if (found == paths.end()) paths.push_back(path);
  return {nsid, nullptr, 0};
}

std::vector<gid_t> Pretended::groupsOf(const std::string& user) const {
  auto found = users.find(user);
  if (found == users.end()) return thisMachine().groupsOf(user);
  std::vector<gid_t> gids;
  for (auto& word : found->second.second) {
    KJ_IF_MAYBE (gid, group(word)) {
      gids.push_back(*gid);
    } else {
      fail(kj::str("user \"", user.c_str(), "\" is to be in group \"", word.c_str(), "\", which is not among the test's groups"));
    }
  }
  return gids;
}

PolicyCases PolicyCases::parse(kj::StringPtr text, kj::StringPtr name) { return CasesReader(name).read(text); }

std::vector<std::string> PolicyCases::failures(const Policy& policy, kj::StringPtr name) const {
  std::vector<std::string> lines;
  for (auto& one : cases) {
    kj::String wrong;
    try {
      auto given = answer(policy, one.question, around);
      auto because = given.because();
      auto was = given.decision.allowed ? "allowed" : "denied";
      auto what = kj::str("user ", one.question.user.c_str(), ", ", describe(given.request), ": ", was);
      if (given.decision.allowed != one.allowed) {
        wrong = kj::str(what, ", expected ", one.allowed ? "allow" : "deny", ": ", because.c_str());
      } else if (because.find(one.reason) == std::string::npos) {
        wrong = kj::str(what, ", but not because of \"", one.reason.c_str(), "\": ", because.c_str());
      }
    } catch (const kj::Exception& exception) { wrong = kj::str(exception.getDescription()); }
    if (wrong.size()) lines.push_back(kj::str(name, ":", one.line, ": ", wrong).cStr());
  }
  return lines;
}

}  // namespace bpfman
