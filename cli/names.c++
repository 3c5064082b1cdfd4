#include "cli/names.h"
#include "client/error.h"
#include "frontend/kernel-names.h"
#include "schema/program-types.h"

#include <charconv>
#include <span>

namespace bpfman {
namespace {

using Type = schema::ProgramType;

struct VerdictName {
  int32_t verdict;
  const char* name;
  Fate fate = Fate::other;
};
constexpr VerdictName XDP_VERDICTS[] = {{0, "aborted", Fate::dropped},     {1, "drop", Fate::dropped}, {2, "pass"}, {3, "tx"},
                                        {4, "redirect", Fate::redirected}, {31, "dispatcher_return"}};
constexpr VerdictName TC_VERDICTS[] = {{-1, "unspec"},
                                       {0, "ok"},
                                       {1, "reclassify"},
                                       {2, "shot", Fate::dropped},
                                       {3, "pipe"},
                                       {4, "stolen"},
                                       {5, "queued"},
                                       {6, "repeat"},
                                       {7, "redirect", Fate::redirected},
                                       {8, "trap"},
                                       {30, "dispatcher_return"}};
constexpr const char* COUNTINGS[] = {"off", "verdicts", "time"};

std::span<const VerdictName> verdictsOf(Type type) {
  if (type == Type::TC) return TC_VERDICTS;
  return XDP_VERDICTS;
}
int32_t lowestOf(Type type) { return type == Type::TC ? -1 : 0; }

template <typename Names>
std::string known(const Names& names) {
  std::string result;
  for (auto& entry : names) result += (result.empty() ? "" : ", ") + std::string(kj::StringPtr(entry.name).cStr());
  return result;
}

}  // namespace

const char* nameOf(schema::ProgramType type) { return typeName(type).cStr(); }

const char* nameOf(schema::Direction direction) { return direction == schema::Direction::EGRESS ? "egress" : "ingress"; }

const char* nameOf(schema::Counting counting) {
  return counting <= schema::Counting::TIME ? COUNTINGS[static_cast<int>(counting)] : "unknown";
}

Fate fateOf(schema::ProgramType type, int32_t verdict) {
  for (auto& entry : verdictsOf(type)) {
    if (entry.verdict == verdict) return entry.fate;
  }
  return Fate::other;
}

std::string verdictName(schema::ProgramType type, int32_t verdict) {
  for (auto& entry : verdictsOf(type)) {
    if (entry.verdict == verdict) return entry.name;
  }
  return std::to_string(verdict);
}

std::string verdictNames(schema::ProgramType type, capnp::List<int32_t>::Reader verdicts) {
  std::string result;
  for (auto verdict : verdicts) result += (result.empty() ? "" : ",") + verdictName(type, verdict);
  return result;
}

std::string verdictNamesOfMask(schema::ProgramType type, uint32_t mask) {
  std::string result;
  for (int bit = 0; bit < 32; bit++) {
    if (mask >> bit & 1) result += (result.empty() ? "" : ",") + verdictName(type, bit + lowestOf(type));
  }
  return result;
}

schema::ProgramType parseType(const std::string& word) {
  KJ_IF_MAYBE (type, typeNamed(word.c_str())) return *type;
  fail(kj::str("unknown program type \"", word.c_str(), "\": known are ", known(programTypes()).c_str()));
}

std::vector<std::string> typeFilter(const std::vector<std::string>& words, bool foreign) {
  std::vector<std::string> result = words;
  for (auto& word : words) {
    KJ_IF_MAYBE (type, typeNamed(word.c_str())) {
      KJ_IF_MAYBE (row, rowOf(*type))
        for (kj::StringPtr name : {row->name, foreign ? programTypeName(row->kernelType) : row->name})
          if (word != name.cStr()) result.push_back(name.cStr());
    }
  }
  return result;
}

schema::Direction parseDirection(const std::string& word) {
  if (word == "ingress") return schema::Direction::INGRESS;
  if (word == "egress") return schema::Direction::EGRESS;
  fail(kj::str("unknown direction \"", word.c_str(), "\": ingress or egress"));
}

schema::Counting parseCounting(const std::string& word) {
  for (auto counting : {schema::Counting::OFF, schema::Counting::VERDICTS, schema::Counting::TIME}) {
    if (word == nameOf(counting)) return counting;
  }
  fail(kj::str("unknown counting \"", word.c_str(), "\": off, verdicts or time"));
}

int32_t parseVerdict(schema::ProgramType type, const std::string& word) {
  for (auto& entry : verdictsOf(type)) {
    if (word == entry.name) return entry.verdict;
  }
  int32_t number = 0, least = lowestOf(type), most = least + 31;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc() && end == word.data() + word.size() && number >= least && number <= most) return number;
  fail(kj::str("unknown verdict \"", word.c_str(), "\" in --proceed-on: known are ", known(verdictsOf(type)).c_str(), ", or a number ",
               least, " .. ", most));
}

}  // namespace bpfman
