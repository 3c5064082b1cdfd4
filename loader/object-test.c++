// The real loader on the examples and on bad objects, against the worker's real session. Needs root.
#include <cstring>
#include <random>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include "loader/probes.h"
#include "loader/test-session.h"
#include "tests/cannot-run.h"

namespace bpfman {

namespace {

class Loader : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) CANNOT_RUN("needs root, for bpf(2)");
  }
};

std::string text(capnp::Text::Reader reader) { return reader.cStr(); }
bool has(const std::string& whole, const std::string& part) { return whole.find(part) != std::string::npos; }

#define ASSERT_DONE(result) \
  ASSERT_TRUE((result).isDone()) << text((result).getFailed().getReason()) << "\n" << text((result).getFailed().getVerifierLog())

std::string reasonFor(TestLoad& load, const std::vector<unsigned char>& object) {
  auto result = load.run(object);
  if (load.loaderEnded) return "the loader ended";
  return result.isFailed() ? text(result.getFailed().getReason()) : "done";
}

template <typename T>
std::vector<unsigned char> raw(T value) {
  std::vector<unsigned char> bytes(sizeof value);
  memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

const TestWish TRACEPOINT{"tracepoint_counter", BPF_PROG_TYPE_TRACEPOINT, 0, "tracepoint"};
const TestWish RAW_TP{"raw_tp_counter", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "rawTracepoint"};
const TestWish TCX{"tcx_counter", BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_EGRESS, "tcx"};

TEST_F(Loader, LoadsAnXdpProgramWithItsMapsAndHoldsNoneOfThem) {
  TestLoad load({{"xdp_counter"}});
  auto result = load.run(example("xdp_counter"));
  ASSERT_DONE(result);
  auto done = result.getDone();
  ASSERT_EQ(done.getPrograms().size(), 1u);
  EXPECT_EQ(text(done.getLicense()), "Dual BSD/GPL");
  EXPECT_EQ(text(done.getPrograms()[0].getSection()), "xdp");
  bpf_prog_info info = load.programInfo(done.getPrograms()[0].getHandle());
  EXPECT_STREQ(info.name, "xdp_counter");
  EXPECT_EQ(info.type, static_cast<uint32_t>(BPF_PROG_TYPE_XDP));
  EXPECT_GT(info.btf_id, 0u);  // debug information went along
  ASSERT_EQ(done.getMaps().size(), 2u);
  EXPECT_EQ(text(done.getMaps()[0].getName()), "packets");
  EXPECT_EQ(text(done.getMaps()[1].getName()), ".rodata");
  EXPECT_TRUE(done.getMaps()[1].getInternal());
  EXPECT_EQ(load.mapInfo(done.getMaps()[0].getHandle()).type, static_cast<uint32_t>(BPF_MAP_TYPE_PERCPU_ARRAY));
}

TEST_F(Loader, LoadsEachKindOfProgramThatTheHostAllows) {
  for (const TestWish& wish : {TRACEPOINT, RAW_TP, TCX}) {
    TestLoad load({wish});
    auto result = load.run(example(wish.name));
    ASSERT_DONE(result);
    EXPECT_EQ(load.programInfo(result.getDone().getPrograms()[0].getHandle()).type, wish.type);
  }
}

TEST_F(Loader, FindsTheFieldsOfTheKernelsStructs) {
  TestLoad look({{"tp_btf_counter", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, "tpBtf"}});
  look.inspectOnly = true;
  auto seen = look.run(example("tp_btf_counter"));
  ASSERT_DONE(seen);
  EXPECT_EQ(text(seen.getDone().getPrograms()[0].getAttachTo()), "sched_switch");
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) CANNOT_RUN("this kernel has no BTF");
  // Which type the tracepoint has is the frontend's to resolve: with another in the grant the session ends, and the answer says so.
  EXPECT_TRUE(has(reasonFor(look, example("tp_btf_counter")), "done"));
  look.inspectOnly = false;
  EXPECT_TRUE(has(reasonFor(look, example("tp_btf_counter")), "the load session ended while"));
}

TEST_F(Loader, LoadsATracepointWithTypes) {
  int id = libbpf_find_vmlinux_btf_id("sched_switch", BPF_TRACE_RAW_TP);
  if (id <= 0) CANNOT_RUN("this kernel has no BTF");
  TestLoad load({{"tp_btf_counter", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, "tpBtf", "sched_switch", static_cast<uint32_t>(id)}});
  auto result = load.run(example("tp_btf_counter"));
  ASSERT_DONE(result);
  EXPECT_EQ(load.programInfo(result.getDone().getPrograms()[0].getHandle()).attach_btf_id, static_cast<uint32_t>(id));
  printf("with CO-RE: %.2f ms\n", load.seconds * 1000);
  TestLoad nowhere({{"tp_btf_counter", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, "tpBtf", "no_such_tracepoint", 1}});
  EXPECT_TRUE(has(reasonFor(nowhere, example("tp_btf_counter")), "nothing called \"no_such_tracepoint\""));
}

TEST_F(Loader, TakesTheMapsOfAnotherLoadInsteadOfNewOnes) {
  TestLoad load({{"xdp_counter"}});
  load.reuse = {"packets", "not_of_this_object"};
  auto result = load.run(example("xdp_counter"));
  ASSERT_DONE(result);
  auto maps = result.getDone().getMaps();
  EXPECT_EQ(maps[0].getHandle(), 0u);
  EXPECT_TRUE(maps[0].getReused());
  EXPECT_FALSE(maps[1].getReused());
  bpf_map_info info = load.mapInfo(0);
  EXPECT_EQ(load.programInfo(result.getDone().getPrograms()[0].getHandle()).nr_map_ids, 2u);
  EXPECT_STREQ(info.name, "");  // the test's own, which has no name
  TestLoad other({{"globals"}});
  other.reuse = {"seen"};
  EXPECT_TRUE(has(reasonFor(other, example("globals")), "another type, key or value size"));
}

TEST_F(Loader, TakesMapsThatArePinnedByNameBehindThoseOfTheOwner) {
  TestLoad load({{"xdp_counter"}});
  load.reuse = {"not_of_this_object"};
  load.shared = {"packets"};
  auto result = load.run(example("xdp_counter"));
  ASSERT_DONE(result);
  EXPECT_EQ(result.getDone().getMaps()[0].getHandle(), 1u);
  EXPECT_TRUE(result.getDone().getMaps()[0].getReused());
  TestLoad other({{"shared_map", BPF_PROG_TYPE_XDP, BPF_XDP, "xdp"}});
  other.wishes[0].name = "shared_xdp";
  other.shared = {"shared"};
  EXPECT_TRUE(has(reasonFor(other, example("shared_map")), "that is pinned by name has another type, key or value size"));
}

TEST_F(Loader, SaysHowTheObjectDefinesItsMaps) {
  TestLoad look({{"shared_other"}});
  look.inspectOnly = true;
  auto result = look.run(example("shared_other"));
  ASSERT_DONE(result);
  size_t found = 0;
  for (auto map : result.getDone().getMaps()) {
    EXPECT_TRUE(map.getPinByName()) << text(map.getName());
    if (map.getName() == "shared") {
      ++found;
      EXPECT_EQ(map.getType(), static_cast<uint32_t>(BPF_MAP_TYPE_HASH));
      EXPECT_EQ(map.getKeySize(), 8u);
      EXPECT_EQ(map.getValueSize(), 4u);
      EXPECT_EQ(map.getMaxEntries(), 9u);
      EXPECT_EQ(map.getFlags(), static_cast<uint32_t>(BPF_F_NO_PREALLOC));
      EXPECT_EQ(map.getExtra(), 0u);
    }
    if (map.getName() == "ring") {
      ++found;
      EXPECT_EQ(map.getMaxEntries(), 8192u);  // as libbpf rounds it
    }
  }
  EXPECT_EQ(found, 2u);
}

TEST_F(Loader, TakesAJobThatIsLargerThanAPacket) {
  TestLoad load({{"globals"}});
  load.globals = {{"large", std::vector<unsigned char>(200000, 1)}};
  EXPECT_EQ(reasonFor(load, example("globals")), "global variable \"large\" has 8 bytes, the value has 200000");
}

TEST_F(Loader, CutsAVeryLongVerifiersLog) {
  TestLoad load({{"long_log"}});
  auto result = load.run(example("long_log"));
  ASSERT_TRUE(result.isFailed());
  std::string log = text(result.getFailed().getVerifierLog());
  EXPECT_TRUE(has(text(result.getFailed().getReason()), "outside of the packet")) << text(result.getFailed().getReason());
  EXPECT_LE(log.size(), 256u << 10);
  EXPECT_GT(log.size(), 200u << 10);
  EXPECT_TRUE(has(log, "bytes left out"));
}

TEST_F(Loader, SaysWhatIsToBeSignedUpToItsLimit) {
  TestLoad load({{"xdp_counter"}}), longer({{"long_program"}});
  load.toSign = longer.toSign = true;
  auto result = load.run(example("xdp_counter"));
  ASSERT_DONE(result);
  auto program = result.getDone().getPrograms()[0];
  EXPECT_EQ(program.getToSign().size() % sizeof(bpf_insn), 0u);
  EXPECT_GT(program.getToSign().size(), 0u);
  EXPECT_TRUE(has(reasonFor(longer, example("long_program")), "more than 640 KiB"));
}

TEST_F(Loader, SaysThatAProgramIsTooMuchForTheVerifier) {
  TestLoad load({{"large_verifier"}});
  std::string reason = reasonFor(load, example("too_large_verifier"));
  printf("refused after %.1f s: %s\n", load.seconds, reason.c_str());
  EXPECT_TRUE(has(reason, "too large"));
}

TEST_F(Loader, LoadsProgramsOfOneObjectWithOneSetOfMaps) {
  TestLoad load({{"two_second"}, {"two_first"}});
  auto result = load.run(example("two_programs"));
  ASSERT_DONE(result);
  auto programs = result.getDone().getPrograms();
  EXPECT_EQ(text(programs[0].getName()), "two_second");
  EXPECT_EQ(text(programs[1].getName()), "two_first");
  EXPECT_NE(programs[0].getHandle(), programs[1].getHandle());
  EXPECT_EQ(result.getDone().getMaps().size(), 1u);
}

TEST_F(Loader, FillsProgramArraysAndMapsOfMaps) {
  TestLoad load({{"many_maps"}, {"many_tail"}});
  auto result = load.run(example("many_maps"));
  ASSERT_DONE(result);
  EXPECT_EQ(result.getDone().getPrograms()[0].getTailCalls(), 1u);
  EXPECT_GE(result.getDone().getMaps().size(), 11u);
  TestLoad half({{"many_maps"}});
  std::string reason = reasonFor(half, example("many_maps"));
  EXPECT_TRUE(has(reason, "many_tail")) << reason;
}

TEST_F(Loader, SetsGlobalsOfEverySectionToTheByte) {
  TestLoad load({{"globals"}});
  load.globals = {{"small", raw<uint8_t>(9)}, {"medium", raw<uint32_t>(10)}, {"large", raw<uint64_t>(11)}, {"unset", raw<uint32_t>(12)}};
  auto result = load.run(example("globals"));
  ASSERT_DONE(result);
  TestLoad wrongSize({{"globals"}});
  wrongSize.globals = {{"medium", raw<uint16_t>(10)}};
  EXPECT_EQ(reasonFor(wrongSize, example("globals")), "global variable \"medium\" has 4 bytes, the value has 2");
  TestLoad unknown({{"globals"}});
  unknown.globals = {{"x", raw<uint16_t>(10)}};
  EXPECT_EQ(reasonFor(unknown, example("globals")),
            "global variable \"x\" not found in program; available: [large medium small triple unset]");
}

TEST_F(Loader, BringsTheVerifiersLogAndItsLastWord) {
  TestLoad load({{"bad_verifier"}});
  auto result = load.run(example("bad_verifier"));
  ASSERT_TRUE(result.isFailed());
  EXPECT_TRUE(has(text(result.getFailed().getReason()), "invalid mem access")) << text(result.getFailed().getReason());
  EXPECT_TRUE(has(text(result.getFailed().getVerifierLog()), "invalid mem access"));
  EXPECT_EQ(result.getFailed().getErrno(), EACCES);
  TestLoad unlicensed({{"no_license", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "rawTracepoint"}});
  EXPECT_TRUE(has(reasonFor(unlicensed, example("no_license")), "GPL"));
}

TEST_F(Loader, RefusesAnotherTypeThanTheSections) {
  TestLoad load({{"xdp_counter", BPF_PROG_TYPE_KPROBE, 0, "kprobe"}});
  EXPECT_EQ(reasonFor(load, example("xdp_counter")),
            "program type mismatch: caller specified kprobe but ELF section \"xdp\" implies xdp; recompile the .bpf.o with the matching "
            "SEC or pass "
            "the matching ProgramType");
}

TEST_F(Loader, TakesObjectsForOtherLoaders) {
  TestLoad load({{"named_xdp"},
                 {"named_tc", BPF_PROG_TYPE_SCHED_CLS, 0, "tc"},
                 {"named_cgroup", BPF_PROG_TYPE_CGROUP_SKB, 0, "cgroup_skb"},
                 {"named_lookup", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, "sk_lookup"}});
  auto result = load.run(example("foreign_style"));
  ASSERT_DONE(result);
  EXPECT_EQ(text(result.getDone().getPrograms()[2].getAttachTo()), "ingress");
  EXPECT_EQ(text(result.getDone().getPrograms()[3].getAttachTo()), "");
  for (auto map : result.getDone().getMaps()) {
    bpf_map_info info = load.mapInfo(map.getHandle());
    uint32_t size = info.type == BPF_MAP_TYPE_RINGBUF ? 0 : 4;
    EXPECT_EQ(std::pair(info.key_size, info.value_size), std::pair(size, size)) << info.name;
  }
  TestLoad nothing({{"named_nothing"}});
  EXPECT_TRUE(has(reasonFor(nothing, example("foreign_style")), "\"nothing/of_mine\" implies no type"));
}

TEST_F(Loader, GivesAnArenaAnAddressButNoGlobals) {
  TestLoad globals({{"arena_globals"}}), load({{"map_types_new"}});
  std::string reason = reasonFor(globals, example("arena_globals"));
  EXPECT_TRUE(has(reason, "global variables in its arena")) << reason;
  utsname kernel;
  if (uname(&kernel) == 0 && versionOf(kernel.release) < (6 << 16 | 9)) CANNOT_RUN("arenas came with Linux 6.9");
  auto result = load.run(example("map_types_new"));
  ASSERT_DONE(result);
  for (auto map : result.getDone().getMaps()) {
    bpf_map_info info = load.mapInfo(map.getHandle());
    EXPECT_EQ(info.map_extra, info.type == BPF_MAP_TYPE_ARENA ? uint64_t{1} << 44 : 0) << info.name;
  }
}

TEST_F(Loader, SaysWhatToDoAboutMapsThatItsLibraryDoesNotTake) {
  TestLoad old({{"old_maps"}}), sized({{"sized_elsewhere"}});
  std::string reason = reasonFor(old, example("old_maps"));
  EXPECT_TRUE(has(reason, "define them with BTF, in SEC(\".maps\")")) << reason;
  reason = reasonFor(sized, example("sized_elsewhere"));
  EXPECT_TRUE(has(reason, "cannot create map \"no_elements\"") && has(reason, "recompile it with max_entries")) << reason;
}

TEST_F(Loader, NamesThePlaceOfAProgramThatIsForAMapsEntries) {
  TestLoad load({{"on_cpu"}});
  std::string reason = reasonFor(load, example("other_places"));
  EXPECT_TRUE(has(reason, "section \"xdp/cpumap\" implies attach type xdp_cpumap")) << reason;
}

TEST_F(Loader, NamesWhatTheObjectHasInstead) {
  TestLoad load({{"nope"}});
  EXPECT_EQ(reasonFor(load, example("two_programs")),
            "program(s) not found in object file: [nope]; available programs: [two_first two_second]");
}

TEST_F(Loader, SaysHowMuchMapMemoryWasTooMuch) {
  TestLoad load({{"xdp_counter"}});
  load.grant.maxMapBytes = 8;
  EXPECT_TRUE(has(reasonFor(load, example("xdp_counter")), "cannot create map \"packets\""));
}

TEST_F(Loader, LooksFirstAndLoadsThenOnOneSocket) {
  TestLoad load({{"xdp_counter"}});
  load.inspectOnly = true;
  auto seen = load.run(example("xdp_counter"));
  ASSERT_DONE(seen);
  EXPECT_EQ(seen.getDone().getPrograms()[0].getHandle(), wire::NO_HANDLE);
  EXPECT_EQ(seen.getDone().getPrograms()[0].getExpectedAttachType(), static_cast<uint32_t>(BPF_XDP));
  load.inspectOnly = false;
  ASSERT_DONE(load.run(example("xdp_counter")));
}

TEST_F(Loader, EndsOnEveryTruncatedObject) {
  auto whole = example("xdp_counter");
  for (size_t size = 1; size < whole.size(); size += 1 + whole.size() / 60) {
    TestLoad load({{"xdp_counter"}});
    std::string reason = reasonFor(load, {whole.begin(), whole.begin() + size});
    EXPECT_TRUE(reason != "done" && reason != "the loader ended") << size << ": " << reason;
  }
}

TEST_F(Loader, EndsOnEveryDamagedObject) {
  auto whole = example("two_programs");
  std::mt19937 random(20240611);
  int loaded = 0, died = 0, refused = 0;
  for (int round = 0; round < 300; ++round) {
    auto damaged = whole;
    for (int flips = 1 + round % 4; flips > 0; --flips) damaged[random() % damaged.size()] ^= 1 << random() % 8;
    TestLoad load({{"two_first"}});
    std::string reason = reasonFor(load, damaged);
    ++(reason == "done" ? loaded : reason == "the loader ended" ? died : refused);
    EXPECT_LT(load.seconds, 5);
  }
  RecordProperty("loaded", loaded);
  printf("damaged objects: %d loaded, %d refused, %d ended the loader\n", loaded, refused, died);
  EXPECT_EQ(died, 0);
}

TEST_F(Loader, WaitsInLittleMemoryAndAnswersQuickly) {
  TestLoad load({{"xdp_counter"}});
  usleep(200000);
  size_t waiting = load.residentKib();
  ASSERT_DONE(load.run(example("xdp_counter")));
  printf("waiting: %zu KiB; a small load: %.2f ms\n", waiting, load.seconds * 1000);
  EXPECT_GT(waiting, 0u);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(waiting, 2048u);  // 1.2 MiB for one alone, 0.5 MiB for each of three: the text is shared
#endif
}

}  // namespace
}  // namespace bpfman
