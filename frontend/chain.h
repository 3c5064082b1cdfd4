// In which order programs run on a hook they share (docs/ordering.md). Plans only: nothing here touches the kernel or the catalogue.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

namespace bpfman {

struct Member {
  uint32_t link = 0, program = 0;                     // our link id, the kernel's program id
  std::string name;                                   // the function's
  int32_t priority = 0;                               // lower runs first
  uint32_t proceedOn = 0;                             // bit of each verdict after which the next one runs
  uint64_t since = 0;                                 // grows: the one that was there first has the smaller
  uint32_t tailCalls = 0;                             // that the program makes itself
  bool foreign = false;                               // not bpfman's: shown and counted, never changed
  bool adopted = false;                               // a foreign one that stays as long as ours: wishes about it are kept, as link 0
  bool fixed = false;                                 // TCX, a foreign one: has no priority, keeps its place
  int32_t rank = 0;                                   // by the administrator's rules: < 0 before, > 0 behind those that no rule names
  uint32_t rule = 0;                                  // the rule's line in the policy; 0: none names it
  std::vector<uint32_t> before, after;                // links that it asked to be next to; those that are not there mean nothing
  std::vector<uint32_t> beforeForeign, afterForeign;  // TCX: the same by the program, for the moment of the attach
  uint32_t kernelLink = 0;                            // TCX
  std::string reason;                                 // why it is where it is: filled in by orderMembers
};

struct OrderRules {
  bool newestFirst = false;  // at equal priority, as upstream does; else by name, then the one that was there first
};

std::vector<Member> orderMembers(std::vector<Member> members, const OrderRules& rules = {});
// The administrator's rank; then before and after; then priority; then name; then the one that was there first.

void explain(std::span<Member> inOrder, const OrderRules& rules);  // fills in the reasons

size_t placeOf(const Member& newcomer, std::span<const Member> inOrder, const OrderRules& rules = {});
// Its index among those that have their places, foreign ones among them. Refuses what contradicts itself or the administrator's rules.

void requireFit(std::span<const Member> members, uint32_t capacity);
// Refuses a chain that is too long: more members than the engine takes, or more than 33 tail calls in one run (one for each member, and
// what they make themselves).

// ---- TCX: the kernel keeps the order, we say where a new one goes ----

struct Anchor {
  enum Where : uint8_t { atEnd, before, after };
  Where where = atEnd;
  bool isLink = false;  // id is a kernel link's, else a program's
  uint32_t id = 0;
  bool operator==(const Anchor&) const = default;
};

Anchor anchorFor(size_t place, std::span<const Member> inKernelOrder);

// ---- verdicts ----

struct Verdict {
  const char* name;
  int32_t code;
};

struct Verdicts {  // of a kind of hook
  std::span<const Verdict> all;
  int32_t lowest;        // the one of bit 0
  uint32_t defaultMask;  // what is meant when a caller names none
};

extern const Verdicts XDP_VERDICTS, TC_VERDICTS;
constexpr uint32_t XDP_PROCEED_RETURN = 1u << 31;  // of a position without a program

uint32_t proceedOnMask(const Verdicts& verdicts, std::span<const int32_t> wanted);  // none: the default. Refuses an unknown verdict
std::vector<int32_t> proceedOnList(const Verdicts& verdicts, uint32_t mask);        // ascending

}  // namespace bpfman
