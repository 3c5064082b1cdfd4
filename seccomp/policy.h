// A policy file as text: what compile.c++ turns into a filter, and what the tests review.
//
//   name                               allowed
//   name: arg0 in {A, B}               allowed with these values (all 64 bits are compared)
//   name: arg1 == A|B and arg2 & M == X   … with all of these
//   name: return ENOSYS                refused, politely
//   include FILE                       the lines of another policy as well
//
// Several lines for one system call: any of them. Everything else kills the process. '#' begins a comment.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bpfman::seccomp {

struct Condition {
  unsigned argument;
  uint64_t mask;                 // ~0: all of it
  std::vector<uint64_t> values;  // any of them
};

struct Rule {
  std::string call, where, comment;   // where: FILE:LINE; comment: beside it, or else the line(s) directly above
  std::vector<Condition> conditions;  // all of them; empty: always
  std::optional<int> error;           // refused with this errno
};

std::vector<Rule> readPolicy(const std::string& path);  // throws std::runtime_error "FILE:LINE: reason"
const std::map<std::string, uint64_t>& constants();     // the names that policies may use

}  // namespace bpfman::seccomp
