#include "frontend/named-maps.h"

#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/catalog-fixture.h"

namespace bpfman {

namespace {

class NamedMaps : public InTemporaryDirectory {
 protected:
  Catalog& rows() { return catalog ? *catalog : *(catalog = std::make_unique<Catalog>()); }

  // One program, and the maps by their names: whether they are pinned by name.
  void load(uint32_t number, uint32_t uid, const std::string& application, std::vector<MapRow> maps) {
    LoadRow load;
    load.load = number;
    load.state = LoadRow::loaded;
    load.uid = uid;
    load.maps = std::move(maps);
    ProgramRow program;
    program.id = 100 + number;
    program.load = number;
    program.application = application;
    rows().putLoaded(load, {program});
  }

  std::vector<uint32_t> loadsOf(uint32_t uid, const std::string& application, const std::string& name) {
    std::vector<uint32_t> loads;
    for (auto& map : mapsNamed(rows(), uid, application, name)) loads.push_back(map.load);
    return loads;
  }

  std::unique_ptr<Catalog> catalog;
};

MapRow map(uint32_t index, const std::string& name, uint32_t id, bool named) { return {index, name, id, false, 1, index, named}; }

using Loads = std::vector<uint32_t>;

TEST_F(NamedMaps, AreOfOneUsersApplication) {
  load(1, 1000, "web", {map(0, "other", 70, true), map(1, "shared", 71, true)});
  load(2, 1001, "web", {map(0, "shared", 72, true)});
  load(3, 1000, "mail", {map(0, "shared", 73, true)});
  load(4, 1000, "", {map(0, "shared", 74, true)});
  load(5, 1000, "web", {map(0, "shared", 75, false)});  // not pinned
  load(6, 1000, "web", {map(4, "shared", 71, true)});
  EXPECT_EQ(loadsOf(1000, "web", "shared"), (Loads{1, 6}));
  EXPECT_EQ(mapsNamed(rows(), 1000, "web", "shared")[1].index, 4u);
  EXPECT_EQ(loadsOf(1001, "web", "shared"), (Loads{2}));
  EXPECT_EQ(loadsOf(1000, "mail", "shared"), (Loads{3}));
  EXPECT_EQ(loadsOf(1000, "", "shared"), (Loads{}));
  EXPECT_EQ(loadsOf(1000, "we", "shared"), (Loads{}));
  EXPECT_EQ(loadsOf(1000, "web", "share"), (Loads{}));
  EXPECT_TRUE(inNameSpace(rows(), 5, 1000, "web"));
  EXPECT_FALSE(inNameSpace(rows(), 5, 1001, "web"));
  EXPECT_FALSE(inNameSpace(rows(), 9, 1000, "web"));
}

TEST_F(NamedMaps, GoWithTheLastLoadThatHasThem) {
  load(1, 1000, "web", {map(0, "shared", 71, true)});
  load(2, 1000, "web", {map(0, "shared", 71, true)});
  rows().eraseLoad(1);
  EXPECT_EQ(loadsOf(1000, "web", "shared"), (Loads{2}));
  LoadRow gone = KJ_ASSERT_NONNULL(rows().load(2));
  gone.missing = "not yet loaded again";
  rows().put(gone);
  EXPECT_EQ(loadsOf(1000, "web", "shared"), (Loads{}));
}

TEST_F(NamedMaps, OrAnyOthersAreSharedByWhoeverHasThem) {
  load(1, 1000, "web", {map(0, "shared", 71, true), map(1, "alone", 72, false)});
  load(2, 1000, "web", {map(0, "shared", 71, true)});
  load(3, 1001, "", {map(5, "owned", 71, false)});
  auto sharers = [&](uint32_t load, size_t map) {
    const LoadRow& row = KJ_ASSERT_NONNULL(rows().load(load));
    return sharersOf(rows(), row, row.maps[map]);
  };
  EXPECT_EQ(sharers(1, 0), (Loads{102, 103}));
  EXPECT_EQ(sharers(2, 0), (Loads{101, 103}));
  EXPECT_EQ(sharers(1, 1), (Loads{}));
}

TEST(MapShape, IsTheSameOrSaysAllThatIsNot) {
  MapShape map{BPF_MAP_TYPE_HASH, 4, 8, 16, BPF_F_NO_PREALLOC, 0};
  EXPECT_EQ(differenceOf(map, map, 4), "");
  EXPECT_EQ(
      differenceOf(map, {BPF_MAP_TYPE_ARRAY, 5, 9, 17, 0, 3}, 4),
      "type array, not hash; key_size 5, not 4; value_size 9, not 8; max_entries 17, not 16; map_flags 0x0, not 0x1; map_extra 3, not 0");
  MapShape larger = map;
  larger.maxEntries = 32;
  EXPECT_EQ(differenceOf(map, larger, 4), "max_entries 32, not 16");
}

// What the kernel made of the same definition.
TEST(MapShape, KnowsWhatTheKernelChanges) {
  EXPECT_EQ(differenceOf({BPF_MAP_TYPE_DEVMAP, 4, 4, 2}, {BPF_MAP_TYPE_DEVMAP, 4, 4, 2, BPF_F_RDONLY_PROG}, 4), "");
  EXPECT_NE(differenceOf({BPF_MAP_TYPE_ARRAY, 4, 4, 2}, {BPF_MAP_TYPE_ARRAY, 4, 4, 2, BPF_F_RDONLY_PROG}, 4), "");
  EXPECT_EQ(differenceOf({BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 0}, {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 6}, 6), "");
  EXPECT_NE(differenceOf({BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 5}, {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 6}, 6), "");
  MapShape lru{BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 4, 5, BPF_F_NO_COMMON_LRU}, rounded = lru;
  rounded.maxEntries = 8;
  EXPECT_EQ(differenceOf(lru, rounded, 4), "");
  EXPECT_EQ(differenceOf(rounded, rounded, 4), "");
  EXPECT_EQ(differenceOf(lru, lru, 4), "max_entries 5, not 8");
  lru.maxEntries = UINT32_MAX, rounded.maxEntries = UINT32_MAX - 3;
  EXPECT_EQ(differenceOf(lru, rounded, 4), "");
}

}  // namespace

}  // namespace bpfman
