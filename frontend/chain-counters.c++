#include "frontend/chain-counters.h"

#include <algorithm>
#include <bitset>
#include <cstring>
#include <span>

#include <kj/debug.h>

namespace bpfman {

namespace {

std::span<const uint32_t> linksOf(const chain_bank& bank) { return {bank.link, kj::min(bank.count, CHAIN_POSITIONS)}; }

}  // namespace

uint32_t withCounting(uint32_t flags, Counting counting) {
  flags &= ~(CHAIN_COUNTS | CHAIN_TIMES);
  if (counting != Counting::off) flags |= CHAIN_COUNTS | CHAIN_COUNTED;
  if (counting == Counting::time) flags |= CHAIN_TIMES;
  return flags;
}

Counting countingOf(uint32_t flags) {
  return !(flags & CHAIN_COUNTS) ? Counting::off : flags & CHAIN_TIMES ? Counting::time : Counting::verdicts;
}

// A counter of a member that leaves is not free yet: the old chain still counts.
std::vector<uint8_t> giveCounters(chain_bank& next, const chain_bank& running) {
  std::bitset<CHAIN_COUNTERS> taken;
  for (size_t i = 0; i < linksOf(running).size(); ++i) taken.set(running.counter[i]);
  std::vector<uint8_t> fresh;
  for (size_t i = 0; i < linksOf(next).size(); ++i) {
    auto known = std::ranges::find(linksOf(running), next.link[i]);
    if (known != linksOf(running).end()) {
      next.counter[i] = running.counter[known - linksOf(running).begin()];
      continue;
    }
    uint8_t counter = 0;
    while (taken[counter]) ++counter;
    taken.set(counter);
    next.counter[i] = counter;
    fresh.push_back(counter);
  }
  return fresh;
}

void addWord(MemberCounts& counts, uint32_t word, kj::ArrayPtr<const kj::byte> perCpu) {
  uint64_t sum = 0;
  for (size_t at = 0; at + sizeof sum <= perCpu.size(); at += sizeof sum) {
    uint64_t one;
    memcpy(&one, perCpu.begin() + at, sizeof one);
    sum += one;
  }
  switch (word) {
    case COUNTER_PASSED_ON: counts.passedOn = sum; break;
    case COUNTER_TIMED_RUNS: counts.timedRuns = sum; break;
    case COUNTER_NANOSECONDS: counts.nanoseconds = sum; break;
    default: counts.finals.push_back(sum);
  }
}

}  // namespace bpfman
