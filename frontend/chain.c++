#include "frontend/chain.h"

#include <algorithm>
#include <iterator>

#include <kj/vector.h>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {
namespace {

constexpr Verdict XDP_NAMES[] = {{"aborted", 0}, {"drop", 1}, {"pass", 2}, {"tx", 3}, {"redirect", 4}, {"dispatcher_return", 31}};
constexpr Verdict TC_NAMES[] = {
    {"unspec", -1},  {"ok", 0},   {"reclassify", 1},        {"shot", 2}, {"pipe", 3}, {"stolen", 4}, {"queued", 5}, {"repeat", 6},
    {"redirect", 7}, {"trap", 8}, {"dispatcher_return", 30}};

// Without before and after. Ends with our link id, so that there is always one order.
std::weak_ordering compare(const Member& a, const Member& b, const OrderRules& rules) {
  if (auto order = a.rank <=> b.rank; order != 0) return order;
  if (auto order = a.priority <=> b.priority; order != 0) return order;
  if (rules.newestFirst)
    if (auto order = b.since <=> a.since; order != 0) return order;
  if (auto order = a.name <=> b.name; order != 0) return order;
  if (auto order = a.since <=> b.since; order != 0) return order;
  if (auto order = a.link <=> b.link; order != 0) return order;
  return a.program <=> b.program;
}

kj::String called(const Member& member) {
  if (member.foreign) return kj::str("program ", member.program, ", which is not bpfman's");
  return kj::str(member.name.c_str(), " (link ", member.link, ")");
}

bool has(const std::vector<uint32_t>& ids, uint32_t id) { return std::ranges::find(ids, id) != ids.end(); }

bool wantsBefore(const Member& who, const Member& other) {
  return other.foreign && !other.adopted ? has(who.beforeForeign, other.program) : has(who.before, other.link);
}
bool wantsAfter(const Member& who, const Member& other) {
  return other.foreign && !other.adopted ? has(who.afterForeign, other.program) : has(who.after, other.link);
}

struct Range {
  size_t least, most;                                // places that a newcomer may take
  const Member *behind = nullptr, *ahead = nullptr;  // who sets them, if somebody does
};

// What the administrator's rules leave to it, then what it asked for itself.
Range rangeOf(const Member& newcomer, std::span<const Member> inOrder) {
  Range range{0, inOrder.size()};
  for (size_t i = 0; i < inOrder.size(); ++i) {
    if (inOrder[i].fixed) continue;
    if (inOrder[i].rank < newcomer.rank) range.least = i + 1;
    if (inOrder[i].rank > newcomer.rank) range.most = std::min(range.most, i);
  }
  if (range.least > range.most) range = {0, inOrder.size()};  // TCX, and the rules changed since: the others stand against them already
  for (size_t i = 0; i < inOrder.size(); ++i) {
    if (wantsAfter(newcomer, inOrder[i]) && i + 1 > range.least) range.least = i + 1, range.behind = &inOrder[i];
    if (wantsBefore(newcomer, inOrder[i]) && i < range.most) range.most = i, range.ahead = &inOrder[i];
  }
  return range;
}

// Where it would be without its own wishes: before the first of ours that comes later, else behind the last one, else at the end. What an
// administrator puts first or last is so for foreign ones too.
size_t naturalPlace(const Member& newcomer, std::span<const Member> inOrder, const OrderRules& rules) {
  size_t behind = 0, later = inOrder.size();
  bool ours = false;
  for (size_t i = inOrder.size(); i-- > 0;) {
    if (inOrder[i].fixed) continue;
    if (compare(newcomer, inOrder[i], rules) < 0) later = i;
    if (!ours) behind = i + 1;
    ours = true;
  }
  if (later < inOrder.size()) {
    while (newcomer.rank < 0 && later > 0 && inOrder[later - 1].fixed) --later;
    return later;
  }
  if (newcomer.rank < 0 && !ours) return 0;
  return newcomer.rank > 0 || !ours ? inOrder.size() : behind;
}

}  // namespace

void explain(std::span<Member> members, const OrderRules& rules) {
  auto twin = [&](const Member& member) {
    return std::ranges::any_of(members, [&](auto& other) {
      return &other != &member && !other.fixed && other.rank == member.rank && other.priority == member.priority;
    });
  };
  for (Member& member : members) {
    auto both = [&](const char* word, bool (*wants)(const Member&, const Member&)) {
      for (auto& other : members)
        if (wants(member, other)) member.reason += kj::str(member.reason.empty() ? "" : ", ", word, ' ', called(other)).cStr();
    };
    member.reason.clear();
    if (member.fixed) {
      member.reason = "not bpfman's: keeps its place";
      continue;
    }
    if (member.rule) member.reason = kj::str("rule in line ", member.rule, " of the policy: ", member.rank < 0 ? "first" : "last").cStr();
    both("before", wantsBefore);
    both("after", wantsAfter);
    if (member.reason.empty()) member.reason = kj::str("priority ", member.priority).cStr();
    if (twin(member)) member.reason += rules.newestFirst ? ", the newest first" : ", then by name and who was there first";
  }
}

const Verdicts XDP_VERDICTS{XDP_NAMES, 0, 1u << 2 | 1u << 31};  // pass, dispatcher_return
const Verdicts TC_VERDICTS{TC_NAMES, -1, 1u << 4 | 1u << 31};   // pipe, dispatcher_return

size_t placeOf(const Member& newcomer, std::span<const Member> inOrder, const OrderRules& rules) {
  Range range = rangeOf(newcomer, inOrder);
  if (range.least > range.most) {
    auto& who = *(range.behind ? range.behind : range.ahead);
    refuse(newcomer.name.c_str(), " can't run ", range.behind ? "after " : "before ", called(who),
           range.behind && range.ahead ? kj::str(" and before ", called(*range.ahead), ", which runs earlier")
                                       : kj::str(": the administrator's rules put them the other way round"));
  }
  return std::clamp(naturalPlace(newcomer, inOrder, rules), range.least, range.most);
}

// Those without wishes by comparison; then, in the order in which they came, each other at its place: it never moves those before it.
std::vector<Member> orderMembers(std::vector<Member> members, const OrderRules& rules) {
  auto wishes = [&](const Member& member) {
    return std::ranges::any_of(members, [&](auto& other) { return wantsBefore(member, other) || wantsAfter(member, other); });
  };
  std::vector<Member> ordered, later;
  for (auto& member : members) (wishes(member) ? later : ordered).push_back(member);
  std::ranges::sort(ordered, [&](auto& a, auto& b) { return compare(a, b, rules) < 0; });
  std::ranges::sort(later, {}, &Member::since);
  for (Member& member : later) {
    Range range = rangeOf(member, ordered);
    if (range.least > range.most) range = {0, ordered.size()};  // the rules changed since: its wish means nothing any more
    size_t place = std::clamp(naturalPlace(member, ordered, rules), range.least, range.most);
    ordered.insert(ordered.begin() + place, std::move(member));
  }
  explain(ordered, rules);
  return ordered;
}

void requireFit(std::span<const Member> members, uint32_t capacity) {
  kj::Vector<kj::String> names;
  uint64_t tailCalls = 0;
  for (auto& member : members) {
    tailCalls += 1 + uint64_t(member.tailCalls);
    names.add(kj::str(member.name.c_str(), " (", 1 + uint64_t(member.tailCalls), ")"));
  }
  if (members.size() > capacity)
    refuse("no free dispatcher slots (all ", capacity, " occupied): ", kj::strArray(names, ", "), "; detach one of them");
  if (tailCalls > limits::TAIL_CALLS)
    refuse("the chain would need ", tailCalls, " tail calls in one run, the kernel allows ", limits::TAIL_CALLS, ": ",
           kj::strArray(names, ", "), "; detach one of them or use a program that makes fewer tail calls");
}

Anchor anchorFor(size_t place, std::span<const Member> inKernelOrder) {
  if (inKernelOrder.empty()) return {};
  bool before = place < inKernelOrder.size();
  const Member& next = inKernelOrder[before ? place : place - 1];
  return {before ? Anchor::before : Anchor::after, next.kernelLink != 0, next.kernelLink ? next.kernelLink : next.program};
}

uint32_t proceedOnMask(const Verdicts& verdicts, std::span<const int32_t> wanted) {
  if (wanted.empty()) return verdicts.defaultMask;
  uint32_t mask = 0;
  for (int32_t verdict : wanted) {
    if (std::ranges::find(verdicts.all, verdict, &Verdict::code) == verdicts.all.end()) {
      kj::Vector<kj::String> known;
      for (auto& each : verdicts.all) known.add(kj::str(each.code, ' ', each.name));
      refuse("unknown proceed-on verdict ", verdict, ": it is one of ", kj::strArray(known, ", "));
    }
    mask |= 1u << (verdict - verdicts.lowest);
  }
  return mask;
}

std::vector<int32_t> proceedOnList(const Verdicts& verdicts, uint32_t mask) {
  std::vector<int32_t> list;
  for (int32_t bit = 0; bit < 32; ++bit) {
    if (mask >> bit & 1) list.push_back(bit + verdicts.lowest);
  }
  return list;
}

}  // namespace bpfman
