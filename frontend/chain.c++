#include "frontend/chain.h"

#include <algorithm>
#include <iterator>

#include <kj/vector.h>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {
namespace {

template <auto field>
std::weak_ordering by(const Member& a, const Member& b) {
  return a.*field <=> b.*field;
}

// The protocol's tie-break, then our link id, so that there is always one order.
constexpr std::weak_ordering (*RULES[])(const Member&, const Member&) = {by<&Member::priority>, by<&Member::name>, by<&Member::since>,
                                                                         by<&Member::link>, by<&Member::program>};

struct Verdict {
  const char* name;
  int32_t code;
};

constexpr Verdict VERDICTS[] = {{"aborted", 0}, {"drop", 1}, {"pass", 2}, {"tx", 3}, {"redirect", 4}, {"dispatcher_return", 31}};

void requireFit(std::span<const Member> members) {
  if (members.size() > limits::CHAIN_MEMBERS) { refuse("no free dispatcher slots (all ", limits::CHAIN_MEMBERS, " occupied)"); }
  uint64_t tailCalls = 0;
  for (auto& member : members) tailCalls += 1 + uint64_t(member.tailCalls);
  if (tailCalls <= limits::TAIL_CALLS) return;
  kj::Vector<kj::String> names;
  for (auto& member : members) names.add(kj::str(member.name.c_str(), " (", 1 + uint64_t(member.tailCalls), ")"));
  refuse("the chain would need ", tailCalls, " tail calls in one run, the kernel allows ", limits::TAIL_CALLS, ": ",
         kj::strArray(names, ", "), "; detach one of them or use a program that makes fewer tail calls");
}

}  // namespace

std::vector<Member> orderMembers(std::vector<Member> members, std::span<const OrderRule> administratorRules) {
  requireFit(members);
  std::stable_sort(members.begin(), members.end(), [&](const Member& a, const Member& b) {
    for (auto& rule : administratorRules) {
      if (auto order = rule(a, b); order != 0) return order < 0;
    }
    for (auto rule : RULES) {
      if (auto order = rule(a, b); order != 0) return order < 0;
    }
    return false;
  });
  return members;
}

Anchor anchorFor(int32_t priority, std::span<const TcxMember> inKernelOrder) {
  auto anchor = [](Anchor::Where where, const TcxMember& member) {
    bool isLink = member.kernelLink != 0;
    return Anchor{where, isLink, isLink ? member.kernelLink : member.program};
  };
  auto later = std::ranges::find_if(inKernelOrder, [&](auto& member) { return member.ours && member.priority > priority; });
  if (later != inKernelOrder.end()) return anchor(Anchor::before, *later);
  auto last = std::find_if(inKernelOrder.rbegin(), inKernelOrder.rend(), [](auto& member) { return member.ours; });
  if (last != inKernelOrder.rend()) return anchor(Anchor::after, *last);
  return {};
}

uint32_t proceedOnMask(std::span<const int32_t> verdicts) {
  if (verdicts.empty()) return XDP_PROCEED_DEFAULT;
  uint32_t mask = 0;
  for (int32_t verdict : verdicts) {
    bool known = std::ranges::any_of(VERDICTS, [&](auto& row) { return row.code == verdict; });
    if (!known) {
      refuse("unknown proceed-on verdict ", verdict, ": it is one of 0 aborted, 1 drop, 2 pass, 3 tx, 4 redirect, 31 dispatcher_return");
    }
    mask |= 1u << verdict;
  }
  return mask;
}

std::vector<int32_t> proceedOnList(uint32_t mask) {
  std::vector<int32_t> verdicts;
  for (int32_t bit = 0; bit < 32; ++bit) {
    if (mask >> bit & 1) verdicts.push_back(bit);
  }
  return verdicts;
}

kj::Maybe<int32_t> verdictNamed(std::string_view name) {
  for (auto& row : VERDICTS) {
    if (row.name == name) return row.code;
  }
  return nullptr;
}

kj::StringPtr verdictName(int32_t verdict) {
  for (auto& row : VERDICTS) {
    if (row.code == verdict) return row.name;
  }
  return "unknown";
}

}  // namespace bpfman
