// bpfman policy check and test: what a policy file decides, without a daemon and without root. Exit code 0: allowed, or all as expected;
// 1: denied, or not; 2: the question or a file is wrong.
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/policy-cases.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include <kj/debug.h>

namespace bpfman {
namespace {

constexpr const char* POLICY = "/etc/bpfman/policy.toml";

// Here, unlike in the daemon, a file that is not there is a mistake.
Policy readPolicy(const std::string& path, const Surroundings& around) {
  kj::AutoCloseFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail(kj::str(path.c_str(), ": ", strerror(errno)));
  return Policy::parse(file, path.c_str(), around);
}

std::string textOf(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (!(file && text << file.rdbuf())) fail(kj::str(path.c_str(), " can't be read, or is empty"));
  return text.str();
}

std::string idText(uint32_t id, const char* name) {
  return name == nullptr ? std::to_string(id) : std::string(name) + " (" + std::to_string(id) + ")";
}

const char* userName(uid_t uid) {
  passwd* user = getpwuid(uid);
  return user ? user->pw_name : nullptr;
}

const char* groupName(gid_t gid) {
  group* found = getgrgid(gid);
  return found ? found->gr_name : nullptr;
}

std::string whom(const Grant& grant) {
  std::string users, groups;
  for (uid_t uid : grant.users) users += (users.empty() ? "users " : ", ") + idText(uid, userName(uid));
  for (gid_t gid : grant.groups) groups += (groups.empty() ? "groups " : ", ") + idText(gid, groupName(gid));
  if (users.empty() || groups.empty()) return users + groups;
  return users + ", " + groups;
}

std::string gives(const Role& role) {
  if (role.base == Role::administrator) return "everything";
  auto maps = kj::str("maps of ", role.base == Role::viewer ? "all" : "his own", " programs: ", mapRightNames(role.mapRights));
  if (role.base == Role::viewer) return kj::str("looks at everything; ", maps).cStr();
  auto loads = kj::str("loads classes ", classNames(role.classes), ", ", role.maxPrograms, " programs, ", role.maxMapBytes,
                       " bytes of maps a load, ", role.maxMemory, " bytes of memory in all");
  bool places = role.classes & bit(ProgramClass::network);
  return kj::str(loads, role.tokens ? "; tokens for these classes" : "",
                 places ? kj::str("; attaches to ", describe(role.places)) : kj::str(), "; ", maps)
      .cStr();
}

std::string place(uint32_t line) { return line == 0 ? "built in" : "line " + std::to_string(line); }

Json jsonOf(const HeldRole& held) {
  return {{"role", held.role->name}, {"base", baseName(held.role->base).cStr()}, {"line", held.line}, {"gives", gives(*held.role)}};
}

struct CheckArguments {
  Question question;
  std::string policy = POLICY, output = "text";
};

int printPolicy(const Policy& policy, const CheckArguments& arguments) {
  if (arguments.output == "json") {
    Json grants = Json::array(), reservations = Json::array();
    for (auto& grant : policy.allGrants()) {
      Json roles = Json::array();
      for (auto& role : grant.roles)
        roles.push_back({{"role", role->name}, {"base", baseName(role->base).cStr()}, {"gives", gives(*role)}});
      grants.push_back({{"line", grant.line}, {"users", grant.users}, {"groups", grant.groups}, {"roles", roles}});
    }
    for (auto& each : policy.allReservations()) {
      reservations.push_back(
          {{"line", each.line}, {"types", typeNames(each.types).cStr()}, {"places", describe(each.places).cStr()}, {"roles", each.roles}});
    }
    print(std::cout, {{"policy", arguments.policy}, {"grants", grants}, {"reservations", reservations}, {"notes", policy.notes()}});
    return 0;
  }
  std::cout << arguments.policy << " is right\n";
  for (auto& grant : policy.allGrants()) {
    std::cout << place(grant.line) << ": " << whom(grant) << "\n";
    for (auto& role : grant.roles) std::cout << "  " << role->name << " (" << baseName(role->base).cStr() << "): " << gives(*role) << "\n";
  }
  for (auto& each : policy.allReservations()) {
    std::cout << place(each.line) << ": reserved for";
    for (auto& role : each.roles) std::cout << " " << role;
    std::cout << (each.roles.empty() ? " administrators" : " (and administrators)") << ": " << typeNames(each.types).cStr() << " on "
              << describe(each.places).cStr() << "\n";
  }
  for (auto& note : policy.notes()) std::cout << "note: " << note << "\n";
  return 0;
}

// Without an action: the roles that he has. That he has none is an answer, not a failure.
int printRoles(const Policy& policy, const CheckArguments& arguments, const Caller& caller) {
  auto roles = policy.rightsOf(caller).decide({}).roles;
  if (arguments.output == "json") {
    Json list = Json::array();
    for (auto& each : roles) list.push_back(jsonOf(each.held));
    print(std::cout, {{"policy", arguments.policy}, {"uid", caller.uid}, {"groups", caller.gids}, {"roles", list}});
    return 0;
  }
  std::cout << whoIs(arguments.question, caller) << (roles.empty() ? " has no role\n" : " has\n");
  for (auto& [held, lacks] : roles)
    std::cout << "  role " << held.role->name << " (" << place(held.line) << "): " << gives(*held.role) << "\n";
  return 0;
}

int check(const CheckArguments& arguments) {
  auto& question = arguments.question;
  auto policy = readPolicy(arguments.policy, thisMachine());
  if (question.user.empty()) {
    if (!question.action.empty()) fail(kj::str("who? give --user NAME"));
    return printPolicy(policy, arguments);
  }
  auto caller = callerOf(question, thisMachine());
  if (question.action.empty()) return printRoles(policy, arguments, caller);
  auto given = answer(policy, question, thisMachine());
  bool allowed = given.decision.allowed;
  if (arguments.output == "json") {
    Json roles = Json::array();
    for (auto& [held, lacks] : given.decision.roles) {
      roles.push_back({{"role", held.role->name}, {"line", held.line}, {"allows", lacks.empty()}, {"lacks", lacks}});
    }
    print(std::cout, {{"allowed", allowed},
                      {"action", describe(given.request).cStr()},
                      {"policy", arguments.policy},
                      {"uid", caller.uid},
                      {"groups", caller.gids},
                      {"roles", roles}});
    return !allowed;
  }
  std::cout << (allowed ? "allowed: " : "denied: ") << whoIs(question, caller) << (allowed ? " may " : " may not ")
            << describe(given.request).cStr() << "\n";
  for (auto& [held, lacks] : given.decision.roles) {
    std::cout << "  role " << held.role->name << " (" << place(held.line) << ")" << (lacks.empty() ? " allows it" : ":");
    for (auto& lack : lacks) std::cout << (&lack == &lacks[0] ? " " : ", ") << lack;
    std::cout << "\n";
  }
  if (given.decision.roles.empty()) std::cout << "  no grant in " << arguments.policy << " means him\n";
  return !allowed;
}

int test(const std::string& file, std::string policyPath, const std::string& output) {
  auto cases = PolicyCases::parse(textOf(file).c_str(), file.c_str());
  if (policyPath.empty() && !cases.policy.empty()) policyPath = std::filesystem::path(file).parent_path() / cases.policy;
  if (policyPath.empty()) policyPath = POLICY;
  auto failures = cases.failures(readPolicy(policyPath, cases.around), file.c_str());
  if (output == "json") {
    print(std::cout, {{"policy", policyPath}, {"cases", cases.cases.size()}, {"failures", failures}});
  } else {
    for (auto& line : failures) std::cout << line << "\n";
    std::cout << policyPath << ": " << cases.cases.size() - failures.size() << " of " << cases.cases.size() << " cases as expected\n";
  }
  return !failures.empty();
}

// Sub-commands rather than arguments, as most of these words are commands of bpfman too, which would be taken for those.
constexpr struct {
  const char *name, *description, *words;
} ACTIONS[] = {
    {"view", "See all programs, maps and links", nullptr},
    {"load", "Load programs of all these types in one object", "TYPE"},
    {"attach", "Attach a program of this type that is loaded", "TYPE"},
    {"token", "Have a BPF token with which programs of all these types can be loaded", "TYPE"},
    {"unload", "Unload or detach a program", nullptr},
    {"map", "Use a program's maps: read, descriptor or write", "RIGHT"},
};

void addCheck(CLI::App& parent, Command& chosen) {
  auto arguments = std::make_shared<CheckArguments>();
  auto& question = arguments->question;
  auto& app =
      *parent.add_subcommand("check", "Say what a policy file decides, and why. Without ACTION: whether it is right, and what it gives");
  for (auto& action : ACTIONS) {
    auto& sub = *app.add_subcommand(action.name, action.description);
    if (action.words) sub.add_option(action.words, question.action, "Its kind")->required();
    sub.callback([arguments, name = action.name] { arguments->question.action.insert(arguments->question.action.begin(), name); });
  }
  app.add_option("--policy", arguments->policy, "The file")->capture_default_str();
  app.add_option("-u,--user", question.user, "Who: a name, with the account's groups, or a number");
  addRepeated(app, "-g,--group", question.groups, "A further group of his; may be repeated");
  app.add_option("-i,--interface,--iface", question.interface, "Of xdp, tc and tcx");
  app.add_option("-n,--namespace,--netns", question.netns, "host, own (one that he made) or PATH")->capture_default_str();
  app.add_option("-p,--priority", question.priority, "Of xdp, tc and tcx")->check(CLI::Range(0, INT32_MAX))->capture_default_str();
  app.add_option("-t,--target", question.target, "Of cgroup_skb: host, own or PATH below cgroup2's root; of uprobes: host or own")
      ->capture_default_str();
  app.add_option("--owner", question.owner, "Whose program it is (default: his own)");
  app.add_option("--programs", question.programs, "load: how many programs he would then have")->capture_default_str();
  addOutput(app, arguments->output);
  app.callback([arguments, &chosen] { chosen = [arguments](Session&) { return check(*arguments); }; });
}

}  // namespace

void addPolicy(CLI::App& parent, Command& chosen) {
  struct Arguments {
    std::string file, policy, output = "text";
  };
  auto& group = *parent.add_subcommand("policy", "Try a policy file, without a daemon");
  addCheck(group, chosen);
  auto arguments = std::make_shared<Arguments>();
  auto& app = *group.add_subcommand("test", "Compare a policy's decisions with those that a file expects");
  app.add_option("FILE", arguments->file, "The expected decisions: docs/policy.md")->required();
  app.add_option("--policy", arguments->policy, "The policy (default: the one that FILE names, else /etc/bpfman/policy.toml)");
  addOutput(app, arguments->output);
  app.callback(
      [arguments, &chosen] { chosen = [arguments](Session&) { return test(arguments->file, arguments->policy, arguments->output); }; });
}

}  // namespace bpfman
