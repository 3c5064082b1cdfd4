// The iterators on this kernel, against what bpftool says of the same objects.
#include <algorithm>
#include <chrono>
#include <functional>
#include <sched.h>

#include <capnp/message.h>

#include "frontend/kernel-names.h"
#include "frontend/overview-fixture.h"

namespace bpfman::testing {
namespace {

class OverviewOnKernel : public ::testing::Test {
 protected:
  Iterators iterators = loadWithThreeCapabilities();
  void SetUp() override {
    if (iterators.object == nullptr) CANNOT_RUN(iterators.failure);
  }
};

kj::AutoCloseFd map(bpf_map_type type, const char* name, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
  int descriptor = bpf_map_create(type, name, key, value, entries, &options);
  EXPECT_GE(descriptor, 0) << name;
  return kj::AutoCloseFd(descriptor);
}

void runOnce(const kj::AutoCloseFd& xdp, int times, int cpu) {
  cpu_set_t set, before;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_getaffinity(0, sizeof(before), &before);
  ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
  char packet[64] = {};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet), .repeat = times);
  EXPECT_EQ(bpf_prog_test_run_opts(xdp.get(), &options), 0);
  sched_setaffinity(0, sizeof(before), &before);
}

TEST_F(OverviewOnKernel, ShowsEachProgramAsBpftoolDoes) {
  std::vector<kj::AutoCloseFd> maps;
  std::vector<int> descriptors;
  for (int i = 0; i < 3; i++) descriptors.push_back(maps.emplace_back(map(BPF_MAP_TYPE_ARRAY, "d_map", 4, 8, 4)).get());
  auto xdp = program(BPF_PROG_TYPE_XDP, "d_maps", 0, 0, descriptors);
  uint32_t mine = idOf<bpf_prog_info>(xdp.get());

  auto all = iterators.allPrograms();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](auto& a, auto& b) { return a.id < b.id; }));
  size_t compared = 0;
  bool seen = false;
  int64_t boot = bootTime();
  for (auto& said : bpftool("prog show")) {
    auto program = find(all, said["id"]);
    if (program == nullptr) continue;  // loaded meanwhile by someone else
    compared++;
    seen |= program->id == mine;
    capnp::MallocMessageBuilder message;
    auto shown = message.initRoot<schema::KernelProgram>();
    describe(*program, {.bootTime = boot}, shown);
    EXPECT_EQ(said.value("name", "").substr(0, 15), shown.getName().cStr());
    EXPECT_EQ(said["tag"], shown.getTag().cStr());
    EXPECT_EQ(said["gpl_compatible"], shown.getGplCompatible());
    EXPECT_NEAR(said["loaded_at"].get<double>(), shown.getLoadedAt() / 1e9, 1.5);
    EXPECT_EQ(said["uid"], shown.getUid());
    EXPECT_EQ(said["bytes_xlated"], shown.getXlatedSize());
    EXPECT_EQ(said.value("bytes_jited", 0u), shown.getJitedSize()) << said["id"];
    EXPECT_EQ(said["bytes_memlock"], shown.getMemlock());
    EXPECT_EQ(said.value("btf_id", 0u), shown.getBtfId());
    std::vector<uint32_t> ids = said.value("map_ids", std::vector<uint32_t>());
    EXPECT_EQ(ids, program->mapIds);
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    kj::AutoCloseFd descriptor(bpf_prog_get_fd_by_id(program->id));
    if (descriptor.get() < 0 || bpf_obj_get_info_by_fd(descriptor.get(), &info, &size) != 0) continue;
    EXPECT_EQ(info.type, program->type);
    EXPECT_EQ(info.verified_insns, program->verifiedInstructions);
    EXPECT_EQ(info.attach_btf_id, program->attachBtfId);
    EXPECT_EQ(info.nr_map_ids, program->mapCount);
  }
  EXPECT_TRUE(seen);
  EXPECT_GE(compared, 4u);
}

TEST_F(OverviewOnKernel, CountsSubprogramsInTheJitedSize) {
  auto all = iterators.allPrograms();
  uint32_t id = idOf<bpf_prog_info>(bpf_program__fd(bpf_object__find_program_by_name(iterators.object.get(), "dump_programs")));
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  ASSERT_EQ(
      bpf_obj_get_info_by_fd(bpf_program__fd(bpf_object__find_program_by_name(iterators.object.get(), "dump_programs")), &info, &size), 0);
  ASSERT_GT(info.nr_jited_func_lens, 1u);
  ASSERT_NE(find(all, id), nullptr);
  EXPECT_EQ(find(all, id)->jitedSize, info.jited_prog_len);
}

TEST_F(OverviewOnKernel, SumsRunStatisticsOverAllCpus) {
  auto xdp = program(BPF_PROG_TYPE_XDP, "d_stats");
  kj::AutoCloseFd on(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (on.get() < 0) CANNOT_RUN("run statistics can't be switched on");
  runOnce(xdp, 1000, 0);
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) runOnce(xdp, 500, 1);

  auto all = iterators.allPrograms();
  uint32_t id = idOf<bpf_prog_info>(xdp.get());
  auto seen = find(all, id);
  ASSERT_NE(seen, nullptr);
  ASSERT_TRUE(seen->flags & bpf::PROGRAM_STATISTICS);
  auto said = bpftool("prog show id " + std::to_string(id));
  EXPECT_EQ(seen->runCount, sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1500u : 1000u);
  EXPECT_EQ(seen->runCount, said["run_cnt"]);
  EXPECT_EQ(seen->runTime, said["run_time_ns"]);
  EXPECT_GT(seen->runTime, 0u);
}

TEST_F(OverviewOnKernel, ShowsEachMapAsBpftoolDoes) {
  std::vector<kj::AutoCloseFd> mine;
  mine.push_back(map(BPF_MAP_TYPE_ARRAY, "d_array", 4, 13, 1000));
  mine.push_back(map(BPF_MAP_TYPE_ARRAY, "d_mmap", 4, 8, 1000, BPF_F_MMAPABLE));
  mine.push_back(map(BPF_MAP_TYPE_PERCPU_ARRAY, "d_percpu", 4, 24, 100));
  mine.push_back(map(BPF_MAP_TYPE_HASH, "d_hash", 7, 20, 1000));
  mine.push_back(map(BPF_MAP_TYPE_PERCPU_HASH, "d_percpuhash", 8, 20, 1000));
  mine.push_back(map(BPF_MAP_TYPE_LRU_HASH, "d_lru", 8, 8, 1000));
  mine.push_back(map(BPF_MAP_TYPE_HASH, "d_lazy", 8, 8, 1000, BPF_F_NO_PREALLOC));
  mine.push_back(map(BPF_MAP_TYPE_PROG_ARRAY, "d_progs", 4, 4, 10));
  mine.push_back(map(BPF_MAP_TYPE_RINGBUF, "d_ring", 0, 0, 4096));
  EXPECT_EQ(bpf_map_freeze(mine[0].get()), 0);

  auto all = iterators.allMaps();
  size_t seen = 0, reckoned = 0;
  for (auto& said : bpftool("map show")) {
    auto map = find(all, said["id"]);
    if (map == nullptr) continue;
    EXPECT_EQ(said.value("name", ""), textOf(map->name));
    EXPECT_EQ(said["bytes_key"], map->keySize);
    EXPECT_EQ(said["bytes_value"], map->valueSize);
    EXPECT_EQ(said["max_entries"], map->maxEntries);
    EXPECT_EQ(said["flags"], map->flags);
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    kj::AutoCloseFd descriptor(bpf_map_get_fd_by_id(map->id));
    if (descriptor.get() < 0 || bpf_obj_get_info_by_fd(descriptor.get(), &info, &size) != 0) continue;
    EXPECT_EQ(info.btf_id, map->btfId);  // not asked of bpftool: it shows the id of another map where there is none
    EXPECT_EQ(said["frozen"].get<int>(), int(map->state & bpf::MAP_FROZEN));
    if (map->memlock != 0) {
      reckoned++;
      EXPECT_EQ(said["bytes_memlock"], map->memlock) << said["type"] << " " << textOf(map->name);
    }
    for (auto& one : mine) seen += idOf<bpf_map_info>(one.get()) == map->id;
  }
  EXPECT_EQ(seen, mine.size());
  EXPECT_GE(reckoned, 7u);
}

double fastest(int times, const std::function<void()>& what) {
  double best = 1e9;
  for (int i = 0; i < times; i++) {
    auto start = std::chrono::steady_clock::now();
    what();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

TEST_F(OverviewOnKernel, ReadsAThousandProgramsInWellUnderTwoMilliseconds) {
  auto one = map(BPF_MAP_TYPE_ARRAY, "d_one", 4, 8, 1), two = map(BPF_MAP_TYPE_ARRAY, "d_two", 4, 8, 1);
  std::vector<kj::AutoCloseFd> programs;
  for (int i = 0; i < 1000; i++) programs.push_back(program(BPF_PROG_TYPE_XDP, "d_many", 0, 0, {one.get(), two.get()}));

  size_t count = 0;
  double whole = fastest(50, [&] {
    auto all = iterators.allPrograms();
    capnp::MallocMessageBuilder message(64 << 10);
    auto list = message.initRoot<schema::Overview::ProgramsResults>().initPrograms(all.size());
    for (size_t i = 0; i < all.size(); i++) describe(all[i], {.bootTime = 0, .statisticsOn = true}, list[i]);
    count = all.size();
  });
  double reading = fastest(50, [&] { readAll(iterators.open(iterators.programs)); });
  double walk = fastest(10, [&] {
    for (uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
      kj::AutoCloseFd descriptor(bpf_prog_get_fd_by_id(id));
      if (descriptor.get() < 0) continue;
      uint32_t maps[64];
      bpf_prog_info info{};
      info.nr_map_ids = 64;
      info.map_ids = uint64_t(maps);
      uint32_t size = sizeof(info);
      bpf_obj_get_info_by_fd(descriptor.get(), &info, &size);
    }
  });
  printf("%zu programs: read %.2f ms, read + decoded + in a Cap'n Proto list %.2f ms; the id walk as root %.2f ms\n", count, reading, whole,
         walk);
  EXPECT_GE(count, 1000u);
  EXPECT_LT(whole, 2.0);
}

}  // namespace
}  // namespace bpfman::testing
