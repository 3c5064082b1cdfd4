#include "cli/names.h"
#include "client/error.h"

#include <charconv>

namespace bpfman {
namespace {

struct TypeName {
  schema::ProgramType type;
  const char* name;
  const char* kernel;           // what the kernel calls such programs
  const char* other = nullptr;  // another word for it
};
using Type = schema::ProgramType;
constexpr TypeName TYPES[] = {
    {Type::XDP, "xdp", "xdp"},
    {Type::TC, "tc", "schedcls"},
    {Type::TCX, "tcx", "schedcls"},
    {Type::TRACEPOINT, "tracepoint", "tracepoint"},
    {Type::KPROBE, "kprobe", "kprobe"},
    {Type::UPROBE, "uprobe", "kprobe"},
    {Type::KRETPROBE, "kretprobe", "kprobe"},
    {Type::URETPROBE, "uretprobe", "kprobe"},
    {Type::FENTRY, "fentry", "tracing"},
    {Type::FEXIT, "fexit", "tracing"},
    {Type::LSM, "lsm", "lsm"},
    {Type::RAW_TRACEPOINT, "raw_tp", "rawtracepoint", "raw_tracepoint"},
    {Type::TP_BTF, "tp_btf", "tracing"},
    {Type::CGROUP_SKB, "cgroup_skb", "cgroup_skb"},
};

struct VerdictName {
  int32_t verdict;
  const char* name;
};
constexpr VerdictName VERDICTS[] = {{0, "aborted"}, {1, "drop"}, {2, "pass"}, {3, "tx"}, {4, "redirect"}, {31, "dispatcher_return"}};

template <typename Names>
std::string known(const Names& names) {
  std::string result;
  for (auto& entry : names) result += (result.empty() ? "" : ", ") + std::string(entry.name);
  return result;
}

}  // namespace

const char* nameOf(schema::ProgramType type) {
  for (auto& entry : TYPES) {
    if (entry.type == type) return entry.name;
  }
  return "unknown";
}

const char* nameOf(schema::Direction direction) { return direction == schema::Direction::EGRESS ? "egress" : "ingress"; }

std::string verdictName(int32_t verdict) {
  for (auto& entry : VERDICTS) {
    if (entry.verdict == verdict) return entry.name;
  }
  return std::to_string(verdict);
}

std::string verdictNames(capnp::List<int32_t>::Reader verdicts) {
  std::string result;
  for (auto verdict : verdicts) result += (result.empty() ? "" : ",") + verdictName(verdict);
  return result;
}

std::string verdictNamesOfMask(uint32_t mask) {
  std::string result;
  for (int verdict = 0; verdict < 32; verdict++) {
    if (mask >> verdict & 1) result += (result.empty() ? "" : ",") + verdictName(verdict);
  }
  return result;
}

schema::ProgramType parseType(const std::string& word) {
  for (auto& entry : TYPES) {
    if (word == entry.name || (entry.other != nullptr && word == entry.other)) return entry.type;
  }
  fail(kj::str("unknown program type \"", word.c_str(), "\": known are ", known(TYPES).c_str()));
}

std::vector<std::string> typeFilter(const std::vector<std::string>& words, bool foreign) {
  std::vector<std::string> result = words;
  for (auto& word : words) {
    for (auto& entry : TYPES) {
      if (word != entry.name) continue;
      if (entry.other != nullptr) result.push_back(entry.other);
      if (foreign && word != entry.kernel) result.push_back(entry.kernel);
    }
  }
  return result;
}

schema::Direction parseDirection(const std::string& word) {
  if (word == "ingress") return schema::Direction::INGRESS;
  if (word == "egress") return schema::Direction::EGRESS;
  fail(kj::str("unknown direction \"", word.c_str(), "\": ingress or egress"));
}

int32_t parseVerdict(const std::string& word) {
  for (auto& entry : VERDICTS) {
    if (word == entry.name) return entry.verdict;
  }
  int32_t number = -1;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc() && end == word.data() + word.size() && number >= 0 && number <= 31) return number;
  fail(kj::str("unknown verdict \"", word.c_str(), "\" in --proceed-on: known are ", known(VERDICTS).c_str(), ", or a number 0 .. 31"));
}

bool needsTarget(schema::ProgramType type) { return type == Type::FENTRY || type == Type::FEXIT || type == Type::LSM; }

}  // namespace bpfman
