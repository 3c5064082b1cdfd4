#include "frontend/chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include <kj/exception.h>

namespace bpfman {
namespace {

Member member(uint32_t link, int32_t priority, std::string name, uint64_t since, uint32_t tailCalls = 0) {
  Member result;
  result.link = link, result.program = link + 100, result.name = std::move(name), result.priority = priority;
  result.since = since, result.tailCalls = tailCalls;
  return result;
}

std::vector<uint32_t> linksOf(const std::vector<Member>& members) {
  std::vector<uint32_t> links;
  for (auto& member : members) links.push_back(member.link);
  return links;
}

template <typename Do>
std::string refusalOf(Do&& act) {
  try {
    act();
  } catch (kj::Exception& error) { return error.getDescription().cStr(); }
  return "";
}

TEST(Chain, RunsByPriorityThenNameThenWhoWasThereFirst) {
  auto ordered =
      orderMembers({member(1, 50, "b", 9), member(2, 50, "a", 8), member(3, 10, "z", 7), member(4, 50, "a", 1), member(5, 0, "y", 6)});
  EXPECT_EQ(linksOf(ordered), (std::vector<uint32_t>{5, 3, 4, 2, 1}));
}

TEST(Chain, PutsTheNewestFirstAtEqualPriorityWhereTheConfigurationSaysSo) {
  std::vector<Member> members = {member(1, 50, "a", 1), member(2, 50, "b", 2), member(3, 10, "z", 3), member(4, 50, "a", 4)};
  EXPECT_EQ(linksOf(orderMembers(members, {true})), (std::vector<uint32_t>{3, 4, 2, 1}));
}

TEST(Chain, FollowsTheAdministratorsRulesBeforeAnyPriority) {
  std::vector<Member> members = {member(1, 0, "counter", 1), member(2, 900, "firewall", 2), member(3, 5, "filter", 3),
                                 member(4, 0, "log", 4)};
  members[1].rank = -1, members[1].rule = 7, members[3].rank = 1, members[3].rule = 7;
  auto ordered = orderMembers(members);
  EXPECT_EQ(linksOf(ordered), (std::vector<uint32_t>{2, 1, 3, 4}));
  EXPECT_EQ(ordered[0].reason, "rule in line 7 of the policy: first");
  EXPECT_EQ(ordered[3].reason, "rule in line 7 of the policy: last");
  EXPECT_EQ(ordered[1].reason, "priority 0");
}

TEST(Chain, PutsAMemberNextToThoseThatItNamesAndMovesNobodyElse) {
  std::vector<Member> members = {member(1, 10, "x", 1), member(2, 50, "a", 2), member(3, 60, "b", 3), member(4, 100, "n", 4)};
  members[3].before = {2};
  auto ordered = orderMembers(members);
  EXPECT_EQ(linksOf(ordered), (std::vector<uint32_t>{1, 4, 2, 3}));
  EXPECT_EQ(ordered[1].reason, "before a (link 2)");
  members[3].before.clear(), members[3].after = {1, 3}, members[3].priority = 0;
  EXPECT_EQ(linksOf(orderMembers(members)), (std::vector<uint32_t>{1, 2, 3, 4}));
  members[3].after = {1};
  members[3].before = {3};
  members[3].priority = 55;  // between the two, by its priority
  EXPECT_EQ(linksOf(orderMembers(members)), (std::vector<uint32_t>{1, 2, 4, 3}));
  members.erase(members.begin() + 2);  // whom it named went: the rest still holds
  EXPECT_EQ(linksOf(orderMembers(members)), (std::vector<uint32_t>{1, 2, 4}));
}

TEST(Chain, RefusesAWishThatContradictsItselfOrTheAdministrator) {
  auto present = orderMembers({member(1, 10, "x", 1), member(2, 50, "a", 2)});
  Member newcomer = member(3, 0, "n", 3);
  newcomer.before = {1}, newcomer.after = {2};
  EXPECT_EQ(refusalOf([&] { placeOf(newcomer, present); }), "n can't run after a (link 2) and before x (link 1), which runs earlier");
  newcomer.before = {1}, newcomer.after.clear();
  present[0].rank = -1;
  EXPECT_EQ(refusalOf([&] { placeOf(newcomer, present); }),
            "n can't run before x (link 1): the administrator's rules put them the other way round");
  newcomer.rank = -2;
  EXPECT_EQ(placeOf(newcomer, present), 0u);
}

TEST(Chain, TakesAsManyMembersAsTheEngineAndNamesThemWhenOneIsTooMany) {
  std::vector<Member> members;
  for (uint32_t n = 1; n <= 30; ++n) members.push_back(member(n, 0, "p", n));
  requireFit(members, 30);
  members.push_back(member(31, 0, "late", 31));
  auto refusal = refusalOf([&] { requireFit(members, 30); });
  EXPECT_EQ(refusal.find("no free dispatcher slots (all 30 occupied): p (1), p (1)"), 0u) << refusal;
  EXPECT_NE(refusal.find("late (1); detach one"), std::string::npos) << refusal;
}

TEST(Chain, Has33TailCallsInOneRunAndNo34th) {
  requireFit(std::vector{member(1, 0, "a", 1, 15), member(2, 0, "router", 2, 16)}, 30);
  std::string refusal = refusalOf([] { requireFit(std::vector{member(1, 0, "a", 1, 16), member(2, 0, "router", 2, 16)}, 30); });
  EXPECT_NE(refusal.find("34 tail calls"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("a (17), router (17)"), std::string::npos) << refusal;
  EXPECT_NE(refusalOf([] { requireFit(std::vector{member(1, 0, "a", 1, UINT32_MAX), member(2, 0, "b", 2, UINT32_MAX)}, 30); }), "");
}

// Whatever the members are: nobody is lost or twice, the result is sorted, does not depend on the order of the question, and whoever
// leaves or comes does not change the order of the others.
TEST(Chain, KeepsItsPromisesForRandomMembers) {
  std::mt19937 random(1);
  const std::string names[] = {"a", "b", "pass", "pass_more", ""};
  for (int round = 0; round < 5000; ++round) {
    std::vector<Member> members;
    for (uint32_t n = 0, count = random() % 11; n < count; ++n) {
      members.push_back(member(n + 1, int32_t(random() % 4), names[random() % 5], random() % 3, random() % 3));
      members.back().foreign = random() % 4 == 0;
    }
    auto ordered = orderMembers(members);
    ASSERT_TRUE(std::ranges::is_sorted(ordered, [](auto& a, auto& b) {
      return std::tie(a.priority, a.name, a.since, a.link) < std::tie(b.priority, b.name, b.since, b.link);
    }));
    auto links = linksOf(ordered), sorted = links;
    std::ranges::sort(sorted);
    ASSERT_EQ(sorted, linksOf(members));
    std::ranges::shuffle(members, random);
    ASSERT_EQ(linksOf(orderMembers(members)), links);
    if (members.empty()) continue;
    std::erase(links, members.back().link);
    members.pop_back();
    ASSERT_EQ(linksOf(orderMembers(members)), links);
  }
}

// The kernel's list: ours with their priorities, foreign ones where they are.
Member tcx(uint32_t program, uint32_t kernelLink, bool ours, int32_t priority = 0) {
  Member result = member(program, priority, "p", program);
  result.program = program, result.kernelLink = kernelLink, result.foreign = result.fixed = !ours;
  if (!ours) result.link = 0;
  return result;
}

Anchor anchorOf(const Member& newcomer, const std::vector<Member>& hook) { return anchorFor(placeOf(newcomer, hook), hook); }

TEST(TcxAnchor, GoesBeforeTheFirstOfOursWithALargerPriority) {
  std::vector<Member> hook = {tcx(1, 11, true, 10), tcx(2, 0, false), tcx(3, 13, true, 20), tcx(4, 14, false)};
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 5), hook), (Anchor{Anchor::before, true, 11}));
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 10), hook), (Anchor{Anchor::before, true, 13}));
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 20), hook), (Anchor{Anchor::before, true, 14}));  // right behind the last of ours
}

TEST(TcxAnchor, GoesToTheEndWhenNoneIsOurs) {
  std::vector<Member> hook = {tcx(2, 0, false), tcx(4, 14, false)};
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 5), hook), (Anchor{Anchor::after, true, 14}));
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 5), {}), Anchor{});
}

TEST(TcxAnchor, NamesAProgramThatHasNoLink) {
  EXPECT_EQ(anchorOf(tcx(9, 0, true, 5), {tcx(7, 0, true, 9)}), (Anchor{Anchor::before, false, 7}));
}

TEST(TcxAnchor, AnAdministratorsFirstAndLastAreSoForForeignOnesToo) {
  std::vector<Member> hook = {tcx(2, 12, false), tcx(1, 11, true, 10), tcx(4, 14, false)};
  Member newcomer = tcx(9, 0, true, 500);
  newcomer.rank = -1;
  EXPECT_EQ(placeOf(newcomer, hook), 0u);
  newcomer.rank = 1;
  EXPECT_EQ(placeOf(newcomer, hook), 3u);
}

TEST(TcxAnchor, GoesBeforeAForeignOneThatTheCallerNames) {
  std::vector<Member> hook = {tcx(2, 12, false), tcx(1, 11, true, 10), tcx(4, 14, false)};
  Member newcomer = tcx(9, 0, true, 500);
  newcomer.beforeForeign = {2};
  EXPECT_EQ(placeOf(newcomer, hook), 0u);
  newcomer.beforeForeign.clear(), newcomer.afterForeign = {4};
  EXPECT_EQ(placeOf(newcomer, hook), 3u);
}

// The kernel's list, played: ours always run by priority, ties in the order in which they came, and foreign ones keep their order.
TEST(TcxAnchor, KeepsOursInOrderAmongForeignOnes) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    std::vector<Member> hook;
    std::vector<uint32_t> foreign;
    for (uint32_t n = 1; n <= 12; ++n) {
      if (random() % 3 == 0) {
        hook.insert(hook.begin() + random() % (hook.size() + 1), tcx(n, n + 100, false));
        continue;
      }
      auto foreignNow = [&] {
        std::vector<uint32_t> programs;
        for (auto& other : hook)
          if (other.foreign) programs.push_back(other.program);
        return programs;
      };
      foreign = foreignNow();
      Member added = tcx(n, n + 100, true, int32_t(random() % 4));
      hook.insert(hook.begin() + placeOf(added, hook), added);
      ASSERT_EQ(foreignNow(), foreign);
    }
    std::vector<std::pair<int32_t, uint32_t>> ours;
    for (auto& m : hook)
      if (!m.foreign) ours.emplace_back(m.priority, m.program);
    ASSERT_TRUE(std::ranges::is_sorted(ours));
  }
}

TEST(ProceedOn, IsPassOrPipeAndDispatcherReturnWhenNothingIsSaid) {
  EXPECT_EQ(proceedOnMask(XDP_VERDICTS, {}), 1u << 2 | 1u << 31);
  EXPECT_EQ(proceedOnList(XDP_VERDICTS, proceedOnMask(XDP_VERDICTS, {})), (std::vector<int32_t>{2, 31}));
  EXPECT_EQ(proceedOnMask(TC_VERDICTS, {}), 2147483664u);  // as upstream shows it
  EXPECT_EQ(proceedOnList(TC_VERDICTS, proceedOnMask(TC_VERDICTS, {})), (std::vector<int32_t>{3, 30}));
}

TEST(ProceedOn, KnowsItsVerdictsAndNoOther) {
  for (int32_t code = -3; code < 40; ++code) {
    bool xdp = (code >= 0 && code <= 4) || code == 31, tc = (code >= -1 && code <= 8) || code == 30;
    EXPECT_EQ(refusalOf([&] { EXPECT_EQ(proceedOnMask(XDP_VERDICTS, {&code, 1}), 1u << code); }).empty(), xdp) << code;
    EXPECT_EQ(refusalOf([&] { EXPECT_EQ(proceedOnMask(TC_VERDICTS, {&code, 1}), 1u << (code + 1)); }).empty(), tc) << code;
  }
}

}  // namespace
}  // namespace bpfman
