// What the tailcall dispatchers count of each member (dispatchers/tailcall.h), and who has which counter. A bank says it itself, so it
// holds over the death of any process.
#pragma once

#include <cstdint>
#include <vector>

#include <kj/common.h>

#include "dispatchers/tailcall.h"

namespace bpfman {

enum class Counting : uint8_t { off, verdicts, time };

struct MemberCounts {  // all CPUs together
  uint32_t link = 0;
  uint64_t passedOn = 0, timedRuns = 0, nanoseconds = 0;
  std::vector<uint64_t> finals = {};  // the packets whose last verdict it gave: from the lowest verdict on, then all other verdicts
};

struct ChainCounts {
  Counting counting = Counting::off;
  std::vector<MemberCounts> members = {};  // none while it is off
};

uint32_t withCounting(uint32_t flags, Counting counting);
Counting countingOf(uint32_t flags);

std::vector<uint8_t> giveCounters(chain_bank& next, const chain_bank& running);
// To the members of `next`, named by its links: each keeps the one that it has in the chain that runs, who joins gets one that is free.
// Those are returned; what they count must be zero before `next` runs.

void addWord(MemberCounts& counts, uint32_t word, kj::ArrayPtr<const kj::byte> perCpu);  // the word's values, as the kernel gives them

}  // namespace bpfman
