// In which order programs run on a hook they share. Plans only: nothing here touches the kernel or the catalogue.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

namespace bpfman {

struct Member {
  uint32_t link = 0, program = 0;  // our link id, the kernel's program id
  std::string name;                // the function's
  int32_t priority = 0;            // lower runs first
  uint32_t proceedOn = 0;          // bit = 1 << verdict after which the next one runs
  uint64_t since = 0;              // grows: the one that was there first has the smaller
  uint32_t tailCalls = 0;          // that the program makes itself
  bool foreign = false;            // not bpfman's: shown and ordered, never changed
};

using OrderRule = std::function<std::weak_ordering(const Member&, const Member&)>;

std::vector<Member> orderMembers(std::vector<Member> members, std::span<const OrderRule> administratorRules = {});
// The administrator's rules, then priority, then name, then the one that was there first. Refuses a chain that is too long: more
// than 10 members, or more than 33 tail calls in one run (one for each member, and what they make themselves).

// ---- TCX: the kernel keeps the order, we say where a new one goes ----

struct TcxMember {
  uint32_t program = 0, kernelLink = 0;  // kernelLink 0: attached without a link
  bool ours = false;
  int32_t priority = 0;  // of ours
};

struct Anchor {
  enum Where : uint8_t { atEnd, before, after };
  Where where = atEnd;
  bool isLink = false;  // id is a kernel link's, else a program's
  uint32_t id = 0;
  bool operator==(const Anchor&) const = default;
};

Anchor anchorFor(int32_t priority, std::span<const TcxMember> inKernelOrder);
// Before the first of ours with a larger priority, else right after the last of ours, else at the end. Foreign ones keep their places.

// ---- XDP verdicts ----

constexpr uint32_t XDP_PROCEED_DEFAULT = 1u << 2 | 1u << 31;  // pass, dispatcher_return

uint32_t proceedOnMask(std::span<const int32_t> verdicts);  // empty: the default. Refuses an unknown verdict
std::vector<int32_t> proceedOnList(uint32_t mask);          // ascending
kj::Maybe<int32_t> verdictNamed(std::string_view name);
kj::StringPtr verdictName(int32_t verdict);  // "unknown" for another number

}  // namespace bpfman
