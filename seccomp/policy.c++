#include "seccomp/policy.h"

#include <fstream>
#include <regex>
#include <stdexcept>

namespace bpfman::seccomp {

namespace {

std::string trim(const std::string& text) {
  auto begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

std::vector<std::string> split(std::string text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t at; (at = text.find(separator)) != std::string::npos; text = text.substr(at + separator.size()))
    parts.push_back(trim(text.substr(0, at)));
  parts.push_back(trim(text));
  return parts;
}

uint64_t numberFrom(const std::string& text) {
  if (std::regex_match(text, std::regex("0x[0-9a-fA-F]+|[0-9]+"))) return std::stoull(text, nullptr, 0);
  uint64_t value = 0;
  for (const std::string& word : split(text, "|")) {
    auto found = constants().find(word);
    if (found == constants().end()) throw std::runtime_error("unknown constant '" + word + "'");
    value |= found->second;
  }
  return value;
}

Condition conditionFrom(const std::string& text) {
  static const std::regex oneOf(R"(arg([0-5]) in \{(.*)\})"), masked(R"(arg([0-5]) & (\S+) == (\S+))"), equal(R"(arg([0-5]) == (\S+))");
  std::smatch match;
  if (std::regex_match(text, match, oneOf)) {
    Condition condition{static_cast<unsigned>(std::stoi(match[1])), ~0ull, {}};
    for (const std::string& value : split(match[2], ",")) condition.values.push_back(numberFrom(value));
    return condition;
  }
  if (std::regex_match(text, match, masked)) {
    Condition condition{static_cast<unsigned>(std::stoi(match[1])), numberFrom(match[2]), {numberFrom(match[3])}};
    if (condition.values[0] & ~condition.mask) throw std::runtime_error("'" + text + "' is never true");
    return condition;
  }
  if (std::regex_match(text, match, equal)) return {static_cast<unsigned>(std::stoi(match[1])), ~0ull, {numberFrom(match[2])}};
  throw std::runtime_error("'" + text + "' is not a condition");
}

Rule ruleFrom(const std::string& line) {
  size_t colon = line.find(':');
  Rule rule{trim(line.substr(0, colon)), {}, {}, {}, {}};
  if (!std::regex_match(rule.call, std::regex("[a-z0-9_]+"))) throw std::runtime_error("'" + rule.call + "' is not a system call");
  if (colon == std::string::npos) return rule;
  std::string rest = trim(line.substr(colon + 1));
  if (rest.starts_with("return "))
    rule.error = numberFrom(trim(rest.substr(7)));
  else
    for (const std::string& condition : split(rest, " and ")) rule.conditions.push_back(conditionFrom(condition));
  return rule;
}

}  // namespace

std::vector<Rule> readPolicy(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": can't be opened");
  std::vector<Rule> rules;
  std::string line, above;
  for (int number = 1; std::getline(file, line); ++number) {
    std::string where = path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
    size_t hash = line.find('#');
    std::string comment = hash == std::string::npos ? "" : trim(line.substr(hash + 1)), text = trim(line.substr(0, hash));
    if (text.empty()) {
      above = hash == std::string::npos ? "" : above + " " + comment;
      continue;
    }
    try {
      if (text.starts_with("include ")) {
        auto included = readPolicy(path.substr(0, path.rfind('/') + 1) + trim(text.substr(8)));
        rules.insert(rules.end(), included.begin(), included.end());
      } else {
        rules.push_back(ruleFrom(text));
        rules.back().where = where;
        rules.back().comment = comment.empty() ? trim(above) : comment;
      }
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(text.starts_with("include ") ? error.what() : where + ": " + error.what());
    }
  }
  return rules;
}

}  // namespace bpfman::seccomp
