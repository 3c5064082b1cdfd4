#include "frontend/chain-counters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace bpfman {
namespace {

chain_bank chainOf(const std::vector<uint32_t>& links) {
  chain_bank bank{};
  bank.count = links.size();
  std::copy(links.begin(), links.end(), bank.link);
  return bank;
}

std::map<uint32_t, uint8_t> countersOf(const chain_bank& bank) {
  std::map<uint32_t, uint8_t> counters;
  for (uint32_t i = 0; i < bank.count; ++i) counters[bank.link[i]] = bank.counter[i];
  return counters;
}

TEST(ChainCounters, SurvivorsKeepTheirsWhateverTheirPlace) {
  chain_bank first = chainOf({7, 8, 9}), second = chainOf({9, 10, 7});
  EXPECT_EQ(giveCounters(first, {}), (std::vector<uint8_t>{0, 1, 2}));
  EXPECT_EQ(giveCounters(second, first), (std::vector<uint8_t>{3})) << "the one of 8 still counts";
  EXPECT_EQ(countersOf(second), (std::map<uint32_t, uint8_t>{{9, 2}, {10, 3}, {7, 0}}));
  chain_bank third = chainOf({11, 9});
  EXPECT_EQ(giveCounters(third, second), (std::vector<uint8_t>{1}));
}

TEST(ChainCounters, NobodyEverSharesOneInRandomChangesUpToAllMembersAtOnce) {
  std::mt19937 dice(1);
  chain_bank running{};
  uint32_t lastLink = 0;
  for (int change = 0; change < 2000; ++change) {
    std::vector<uint32_t> links;
    for (uint32_t i = 0; i < running.count; ++i)
      if (dice() % 3) links.push_back(running.link[i]);
    if (change % 10 == 0) links.clear();
    for (uint32_t joining = change % 10 == 0 ? CHAIN_POSITIONS : dice() % 4; joining > 0 && links.size() < CHAIN_POSITIONS; --joining)
      links.push_back(++lastLink);
    std::ranges::shuffle(links, dice);
    chain_bank next = chainOf(links);
    auto fresh = giveCounters(next, running);
    auto before = countersOf(running), after = countersOf(next);
    std::set<uint8_t> used, old;
    for (auto& [link, counter] : before) old.insert(counter);
    for (auto& [link, counter] : after) {
      EXPECT_LT(counter, CHAIN_COUNTERS);
      EXPECT_TRUE(used.insert(counter).second) << "shared";
      if (before.count(link))
        EXPECT_EQ(counter, before[link]);
      else
        EXPECT_FALSE(old.count(counter)) << "of one that is still read";
    }
    EXPECT_EQ(fresh.size(), std::ranges::count_if(links, [&](auto link) { return !before.count(link); }));
    running = next;
  }
}

TEST(ChainCounters, SwitchingKeepsInMindThatItWasOnOnce) {
  EXPECT_EQ(countingOf(0), Counting::off);
  for (auto counting : {Counting::verdicts, Counting::time}) {
    uint32_t on = withCounting(0, counting);
    EXPECT_EQ(countingOf(on), counting);
    EXPECT_EQ(withCounting(on, Counting::off), uint32_t(CHAIN_COUNTED));
  }
  EXPECT_EQ(withCounting(0, Counting::off), 0u);
}

TEST(ChainCounters, AddsUpAllCpus) {
  uint64_t values[] = {1, 20, 300};
  auto bytes = kj::arrayPtr(reinterpret_cast<const kj::byte*>(values), sizeof values);
  MemberCounts counts;
  for (uint32_t word = 0; word < COUNTER_WORDS(XDP_COUNTED_VERDICTS); ++word) addWord(counts, word, bytes);
  EXPECT_EQ(counts.passedOn, 321u);
  EXPECT_EQ(counts.timedRuns, 321u);
  EXPECT_EQ(counts.nanoseconds, 321u);
  EXPECT_EQ(counts.finals, std::vector<uint64_t>(XDP_COUNTED_VERDICTS + 1, 321));
}

}  // namespace
}  // namespace bpfman
