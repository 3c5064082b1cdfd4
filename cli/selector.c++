#include "cli/selector.h"
#include "cli/values.h"
#include "client/error.h"

#include <regex>

namespace bpfman {
namespace {

std::string trim(const std::string& text) {
  auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// At the commas that are not inside of brackets.
std::vector<std::string> pieces(const std::string& text) {
  std::vector<std::string> result(1);
  int depth = 0;
  for (char c : text) {
    depth += (c == '(') - (c == ')');
    if (c == ',' && depth == 0) {
      result.emplace_back();
    } else {
      result.back() += c;
    }
  }
  return result;
}

}  // namespace

Selector::Requirement Selector::parse(const std::string& piece) {
  static const std::regex exists(R"((!?)\s*([^\s!=(),]+))");
  static const std::regex equals(R"(([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*))");
  static const std::regex among(R"(([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\))");
  std::smatch match;
  if (std::regex_match(piece, match, exists)) return {match[2], match[1].length() == 0, true, {}};
  if (std::regex_match(piece, match, equals)) return {match[1], match[2] != "!=", false, {match[3]}};
  if (std::regex_match(piece, match, among)) {
    Requirement requirement{match[1], match[2] == "in", false, {}};
    for (auto& value : split(match[3])) requirement.values.insert(trim(value));
    if (!requirement.values.empty()) return requirement;
  }
  fail(kj::str("selector \"", piece.c_str(), "\": expected k=v, k!=v, k, !k, k in (a,b) or k notin (a,b)"));
}

Selector::Selector(const std::string& text) {
  if (trim(text).empty()) return;
  for (auto& piece : pieces(text)) requirements.push_back(parse(trim(piece)));
}

bool Selector::matches(capnp::List<schema::KeyValue>::Reader labels) const {
  for (auto& requirement : requirements) {
    bool found = false;
    for (auto label : labels) {
      if (requirement.key != label.getKey().cStr()) continue;
      found = requirement.any || requirement.values.count(label.getValue().cStr()) > 0;
    }
    if (found != requirement.wanted) return false;
  }
  return true;
}

}  // namespace bpfman
