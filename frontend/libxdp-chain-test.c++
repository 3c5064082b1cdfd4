#include "frontend/libxdp-chain.h"

#include <cstring>
#include <linux/bpf.h>

#include <gtest/gtest.h>
#include <kj/debug.h>

namespace bpfman {
namespace {

constexpr uint32_t PASS = 1u << XDP_PASS, DROP = 1u << XDP_DROP, RETURN = 1u << 31;

template <typename Config>
bpf::DispatcherRecord recordWith(const Config& config, uint32_t size = sizeof(Config)) {
  bpf::DispatcherRecord record{};
  record.configSize = size;
  std::memcpy(record.config, &config, sizeof config);
  return record;
}

std::vector<uint32_t> prioritiesFor(std::vector<LibxdpMember> members) {
  auto config = libxdpConfigFor(members);
  return {config.priorities, config.priorities + config.count};
}

TEST(LibxdpConfig, IsLaidOutAsTheProtocolSays) {
  std::vector<LibxdpMember> members = {{"a", 10, PASS, true}, {"b", 20, PASS | DROP, false}};
  auto config = libxdpConfigFor(members);
  uint8_t bytes[sizeof config];
  std::memcpy(bytes, &config, sizeof bytes);
  EXPECT_EQ(sizeof config, 124u);
  EXPECT_EQ(bytes[0], 236);
  EXPECT_EQ(bytes[1], 2);
  EXPECT_EQ(bytes[2], 2);
  EXPECT_EQ(bytes[3], 0) << "one member without frags makes the dispatcher one without";
  uint32_t words[30];
  std::memcpy(words, bytes + 4, sizeof words);
  EXPECT_EQ(words[0], PASS | RETURN);
  EXPECT_EQ(words[1], PASS | DROP | RETURN);
  EXPECT_EQ(words[10], 10u);
  EXPECT_EQ(words[11], 20u);
  EXPECT_EQ(words[20], uint32_t(BPF_F_XDP_HAS_FRAGS));
  EXPECT_EQ(words[21], 0u);
}

TEST(LibxdpConfig, IsReadBackAsItWasWritten) {
  std::vector<LibxdpMember> members = {{"", 10, PASS | RETURN, true}, {"", 4294967295, DROP | RETURN, false}};
  auto read = KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(libxdpConfigFor(members))));
  ASSERT_EQ(read.version, 2u);
  ASSERT_EQ(read.members.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.members[i].priority, members[i].priority);
    EXPECT_EQ(read.members[i].proceedOn, members[i].proceedOn);
    EXPECT_EQ(read.members[i].frags, members[i].frags);
  }
}

TEST(LibxdpConfig, OfVersionOneIsUnderstoodAndWritten) {
  std::vector<LibxdpMember> members = {{"a", 7, PASS | DROP, true}, {"b", 9, PASS, false}};
  auto bytes = libxdpBytes(libxdpConfigFor(members), 1);
  ASSERT_EQ(bytes.size(), sizeof(xdp_multi_config_v1));
  xdp_multi_config_v1 old;
  std::memcpy(&old, bytes.data(), sizeof old);
  EXPECT_EQ(old.count, 2);
  EXPECT_EQ(old.proceed[0], PASS | DROP | RETURN);
  EXPECT_EQ(old.priorities[1], 9u);
  auto read = KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(old)));
  EXPECT_EQ(read.version, 1u);
  ASSERT_EQ(read.members.size(), 2u);
  EXPECT_EQ(read.members[0].priority, 7);
  EXPECT_EQ(read.members[0].proceedOn, PASS | DROP | RETURN);
  EXPECT_FALSE(read.members[0].frags) << "unknown to it";
}

TEST(LibxdpConfig, OfVersionThreeIsUnderstoodAndWritten) {
  std::vector<LibxdpMember> members = {{"a", 7, PASS, true}};
  auto bytes = libxdpBytes(libxdpConfigFor(members), 3);
  ASSERT_EQ(bytes.size(), sizeof(xdp_multi_config_v3));
  EXPECT_EQ(bytes[1], 3);
  xdp_multi_config_v3 newer;
  std::memcpy(&newer, bytes.data(), sizeof newer);
  auto read = KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(newer)));
  EXPECT_EQ(read.version, 3u);
  ASSERT_EQ(read.members.size(), 1u);
  EXPECT_EQ(read.members[0].priority, 7);
  EXPECT_TRUE(read.members[0].frags);
  EXPECT_FALSE(read.deviceBound);
  newer.device_bound = 1;
  EXPECT_TRUE(KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(newer))).deviceBound);
}

TEST(LibxdpConfig, OfANewerVersionOrOfNoDispatcherIsNotGuessedAt) {
  auto config = libxdpConfigFor({});
  config.version = 4;
  EXPECT_EQ(KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(config))).version, 0u);
  EXPECT_EQ(KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(libxdpConfigFor({}), 100))).version, 0u) << "cut";
  config.version = 3;
  EXPECT_EQ(KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(config))).version, 0u) << "as short as one of version 2";
  uint8_t other[124] = {5};
  EXPECT_TRUE(libxdpConfigOf(recordWith(other)) == nullptr);
  uint8_t similar[sizeof(xdp_multi_config_v1)] = {XDP_MULTI_POSITIONS + 1};
  EXPECT_TRUE(libxdpConfigOf(recordWith(similar)) == nullptr);
  xdp_multi_config wild = libxdpConfigFor({});
  wild.count = 255;
  EXPECT_EQ(KJ_ASSERT_NONNULL(libxdpConfigOf(recordWith(wild))).members.size(), size_t(XDP_MULTI_POSITIONS));
}

TEST(LibxdpPriorities, StayAsTheyAreWhereLibxdpWouldSortTheSame) {
  EXPECT_EQ(prioritiesFor({{"b", 10}, {"a", 20}, {"b", 20}}), (std::vector<uint32_t>{10, 20, 20}));
}

TEST(LibxdpPriorities, AreRaisedWhereAnAdministratorsRuleOrATieWouldBeSortedAway) {
  EXPECT_EQ(prioritiesFor({{"b", 100}, {"a", 10}, {"c", 10}}), (std::vector<uint32_t>{100, 101, 101}));
  EXPECT_EQ(prioritiesFor({{"same", 50}, {"same", 50}}), (std::vector<uint32_t>{50, 51}));
}

TEST(LibxdpAlone, StandsOnlyWhoseVerdictTheChainWouldNotChange) {
  EXPECT_TRUE(standsAlone(std::vector<LibxdpMember>{{"a", 1, PASS | RETURN}}));
  EXPECT_TRUE(standsAlone(std::vector<LibxdpMember>{{"a", 1, 0}}));
  EXPECT_FALSE(standsAlone(std::vector<LibxdpMember>{{"a", 1, PASS | DROP}})) << "after a drop the empty rest of the chain passes";
  EXPECT_FALSE(standsAlone(std::vector<LibxdpMember>{{"a", 1, PASS}, {"b", 1, PASS}}));
}

}  // namespace
}  // namespace bpfman
