#include "frontend/chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include <kj/exception.h>

namespace bpfman {
namespace {

Member member(uint32_t link, int32_t priority, std::string name, uint64_t since, uint32_t tailCalls = 0) {
  return {link, link + 100, std::move(name), priority, XDP_PROCEED_DEFAULT, since, tailCalls, false};
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

TEST(Chain, FollowsTheAdministratorsRulesBeforeAnyPriority) {
  OrderRule rule = [](const Member& a, const Member& b) { return (a.name != "firewall") <=> (b.name != "firewall"); };
  auto ordered = orderMembers({member(1, 0, "counter", 1), member(2, 900, "firewall", 2), member(3, 5, "filter", 3)}, {&rule, 1});
  EXPECT_EQ(linksOf(ordered), (std::vector<uint32_t>{2, 1, 3}));
}

TEST(Chain, HasTenMembersAndNoEleventh) {
  std::vector<Member> members;
  for (uint32_t n = 1; n <= 10; ++n) members.push_back(member(n, 0, "p", n));
  EXPECT_EQ(orderMembers(members).size(), 10u);
  members.push_back(member(11, 0, "p", 11));
  EXPECT_EQ(refusalOf([&] { orderMembers(members); }), "no free dispatcher slots (all 10 occupied)");
}

TEST(Chain, Has33TailCallsInOneRunAndNo34th) {
  EXPECT_EQ(orderMembers({member(1, 0, "a", 1, 15), member(2, 0, "router", 2, 16)}).size(), 2u);
  std::string refusal = refusalOf([] { orderMembers({member(1, 0, "a", 1, 16), member(2, 0, "router", 2, 16)}); });
  EXPECT_NE(refusal.find("34 tail calls"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("a (17), router (17)"), std::string::npos) << refusal;
  EXPECT_NE(refusalOf([] { orderMembers({member(1, 0, "a", 1, UINT32_MAX), member(2, 0, "b", 2, UINT32_MAX)}); }), "");
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

TEST(TcxAnchor, GoesBeforeTheFirstOfOursWithALargerPriority) {
  TcxMember hook[] = {{1, 11, true, 10}, {2, 0, false, 0}, {3, 13, true, 20}, {4, 14, false, 0}};
  EXPECT_EQ(anchorFor(5, hook), (Anchor{Anchor::before, true, 11}));
  EXPECT_EQ(anchorFor(10, hook), (Anchor{Anchor::before, true, 13}));
  EXPECT_EQ(anchorFor(20, hook), (Anchor{Anchor::after, true, 13}));
}

TEST(TcxAnchor, GoesToTheEndWhenNoneIsOurs) {
  TcxMember hook[] = {{2, 0, false, 0}, {4, 14, false, 99}};
  EXPECT_EQ(anchorFor(5, hook), Anchor{});
  EXPECT_EQ(anchorFor(5, {}), Anchor{});
}

TEST(TcxAnchor, NamesAProgramThatHasNoLink) {
  TcxMember hook[] = {{7, 0, true, 9}};
  EXPECT_EQ(anchorFor(5, hook), (Anchor{Anchor::before, false, 7}));
}

// The kernel's list, played: ours always run by priority, ties in the order in which they came, and foreign ones keep their order.
TEST(TcxAnchor, KeepsOursInOrderAmongForeignOnes) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TcxMember> hook;
    std::vector<uint32_t> foreign;
    for (uint32_t n = 1; n <= 12; ++n) {
      if (random() % 3 == 0) {
        auto at = random() % (hook.size() + 1);
        hook.insert(hook.begin() + at, {n, random() % 2 ? n + 100 : 0, false, 0});
        continue;
      }
      foreign.clear();
      for (auto& other : hook)
        if (!other.ours) foreign.push_back(other.program);
      TcxMember added{n, n + 100, true, int32_t(random() % 4)};
      Anchor anchor = anchorFor(added.priority, hook);
      auto at = std::ranges::find_if(hook, [&](auto& m) { return anchor.isLink ? m.kernelLink == anchor.id : m.program == anchor.id; });
      if (anchor.where == Anchor::atEnd)
        at = hook.end();
      else
        ASSERT_NE(at, hook.end());
      hook.insert(anchor.where == Anchor::after ? at + 1 : at, added);
      std::vector<uint32_t> foreignNow;
      for (auto& other : hook)
        if (!other.ours) foreignNow.push_back(other.program);
      ASSERT_EQ(foreignNow, foreign);
    }
    std::vector<std::pair<int32_t, uint32_t>> ours;
    for (auto& m : hook)
      if (m.ours) ours.emplace_back(m.priority, m.program);
    ASSERT_TRUE(std::ranges::is_sorted(ours));
  }
}

TEST(ProceedOn, IsPassAndDispatcherReturnWhenNothingIsSaid) {
  EXPECT_EQ(proceedOnMask({}), 1u << 2 | 1u << 31);
  EXPECT_EQ(proceedOnList(XDP_PROCEED_DEFAULT), (std::vector<int32_t>{2, 31}));
}

TEST(ProceedOn, KnowsItsVerdictsBothWaysAndNoOther) {
  for (int32_t code = -1; code < 40; ++code) {
    std::string name = verdictName(code).cStr();
    bool known = name != "unknown";
    EXPECT_EQ(known, (code >= 0 && code <= 4) || code == 31) << code;
    if (known) {
      KJ_IF_MAYBE (found, verdictNamed(name))
        EXPECT_EQ(*found, code);
      else
        ADD_FAILURE() << name;
      EXPECT_EQ(proceedOnMask({&code, 1}), 1u << code);
    } else {
      EXPECT_NE(refusalOf([&] { proceedOnMask({&code, 1}); }), "");
    }
  }
  EXPECT_TRUE(verdictNamed("accept") == nullptr);
}

}  // namespace
}  // namespace bpfman
