// What somebody wants to know of a policy, in the words of the command line and of test files, and the answer: the daemon's own decision,
// with what each role of that user lacks.
#pragma once

#include "frontend/policy.h"

#include <string>
#include <vector>

namespace bpfman {

struct Question {
  std::string user;                 // a name or a number; one that has an account by that name also has its groups
  std::vector<std::string> groups;  // further ones
  std::vector<std::string> action;  // view | load TYPE… | attach TYPE | token TYPE… | unload | map RIGHT; empty: only who he is
  std::string interface, netns = "host", owner;  // netns: "host", "own" or a path. owner: of the program; default: the user
  int32_t priority = 50;
  uint32_t programs = 1;        // load: that he would then have
  std::string target = "host";  // cgroup, binary: "host", "own" or a cgroup's path below the root of cgroup2
};

Caller callerOf(const Question& question, const Surroundings& around);
std::string whoIs(const Question& question, const Caller& caller);  // "alice (uid 1000, groups 1000, 2000)"

struct Answer {
  Request request;  // refers to the question's words. The one of several that was denied, or the last
  Decision decision;

  std::string because() const;  // "role lan (granted in line 12) allows it", or what each of his roles lacks
};

Answer answer(const Policy& policy, const Question& question, const Surroundings& around);

}  // namespace bpfman
