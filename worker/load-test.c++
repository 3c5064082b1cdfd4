// What a load session refuses, whatever its loader or a frontend that was taken over says. Needs no root.
#include "worker/recording-bpf.h"

#include <sys/mman.h>

namespace bpfman {
namespace {

using wire::NO_HANDLE;
using wire::Op;

constexpr bpf_insn RETURN[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};

class WorkerLoad : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  static wire::Grant grant() {
    wire::Grant grant{};
    grant.mapTypes = ~0ull;
    grant.maxMapBytes = 1 << 20;
    grant.maxMaps = 4;
    grant.programCount = 2;
    grant.programs[0] = {BPF_PROG_TYPE_XDP, BPF_XDP, 0, 0};
    grant.programs[1] = {BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, 7, BPF_F_SLEEPABLE};
    return grant;
  }
  template <typename T>
  int64_t ask(Op op, State state, const T& fixed, const std::vector<uint8_t>& tail = {}) {
    Request request = requestOf(op, fixed, tail);
    return perform(context, request, state).result;
  }
  void begin() { ASSERT_EQ(ask(Op::grant, Waiting, grant()), 0); }

  static wire::CreateMap map(uint32_t type = BPF_MAP_TYPE_ARRAY) {
    wire::CreateMap map{};
    map.type = type;
    map.keySize = map.valueSize = 4;
    map.maxEntries = 1;
    map.btf = map.innerMap = NO_HANDLE;
    return map;
  }
  int64_t create(const wire::CreateMap& wish) { return ask(Op::createMap, Loading, wish); }

  static wire::LoadProgram program(uint32_t count) {
    wire::LoadProgram program{};
    program.type = BPF_PROG_TYPE_XDP;
    program.expectedAttachType = BPF_XDP;
    program.btf = NO_HANDLE;
    program.instructionCount = count;
    return program;
  }
  int64_t load(const std::vector<bpf_insn>& instructions, void (*change)(wire::LoadProgram&) = nullptr) {
    wire::LoadProgram wish = program(instructions.size());
    if (change != nullptr) change(wish);
    auto* bytes = reinterpret_cast<const uint8_t*>(instructions.data());
    return ask(Op::loadProgram, Loading, wish, {bytes, bytes + instructions.size() * sizeof(bpf_insn)});
  }
  static std::vector<bpf_insn> wide(uint8_t source, int32_t low, int32_t high = 0) {
    return {{BPF_LD | BPF_IMM | BPF_DW, 1, source, 0, low}, {0, 0, 0, 0, high}, RETURN[0], RETURN[1]};
  }
};

// ---- the grant ----

TEST_F(WorkerLoad, AGrantAboveTheCeilingIsRefusedAndGivesNothing) {
  auto refused = [&](void (*change)(wire::Grant&)) {
    wire::Grant wish = grant();
    change(wish);
    EXPECT_EQ(ask(Op::grant, Waiting, wish), -EPERM);
    EXPECT_FALSE(context.load.granted);
  };
  refused([](auto& wish) { wish.maxMapBytes = (1 << 20) + 1; });
  refused([](auto& wish) { wish.maxMaps = 9; });
  refused([](auto& wish) { wish.programCount = 5; });
  refused([](auto& wish) { wish.programs[1].type = BPF_PROG_TYPE_KPROBE; });
  refused([](auto& wish) { wish.programs[1].type = 64; });  // beyond the mask
  refused([](auto& wish) { wish.programs[1].type = ~0u; });
  refused([](auto& wish) { wish.programs[1].expectedAttachType = BPF_TRACE_FENTRY; });
  refused([](auto& wish) { wish.programs[1].expectedAttachType = 128; });
}

TEST_F(WorkerLoad, AGrantThatNamesMoreThanItHoldsEndsTheSession) {
  wire::Grant wish = grant();
  wish.programCount = wire::MAX_PROGRAMS + 1;
  EXPECT_DEATH_BY_LINE(ask(Op::grant, Waiting, wish), "malformed grant");
  wish = grant();
  wish.reuseCount = wire::MAX_MAPS + 1;
  EXPECT_DEATH_BY_LINE(ask(Op::grant, Waiting, wish), "malformed grant");
}

TEST_F(WorkerLoad, AMapTypeThatTheCeilingLacksIsNotInTheGrantEither) {
  begin();
  EXPECT_DEATH_BY_LINE(create(map(BPF_MAP_TYPE_STRUCT_OPS)), "outside the grant");
}

// ---- maps ----

TEST_F(WorkerLoad, AMapOutsideTheGrantEndsTheSession) {
  begin();
  context.load.grant.mapTypes = 1ull << BPF_MAP_TYPE_ARRAY;
  for (uint32_t type : {0u, uint32_t(BPF_MAP_TYPE_HASH), 63u, 64u, 1000u, ~0u})
    EXPECT_DEATH_BY_LINE(create(map(type)), "outside the grant") << type;
  for (uint32_t flag : {uint32_t(BPF_F_TOKEN_FD), uint32_t(BPF_F_VTYPE_BTF_OBJ_FD), uint32_t(BPF_F_PATH_FD), 1u << 31}) {
    wire::CreateMap wish = map();
    wish.flags = flag;
    EXPECT_DEATH_BY_LINE(create(wish), "outside the grant") << flag;
  }
  wire::CreateMap endless = map();
  memset(endless.name, 'x', sizeof endless.name);
  EXPECT_DEATH_BY_LINE(create(endless), "text without an end");
}

TEST_F(WorkerLoad, AMapMayNotNameWhatTheSessionDoesNotHave) {
  begin();
  int64_t other = create(map());
  for (uint32_t handle : {uint32_t(other), uint32_t(other) + 1, 0x7fffffffu, NO_HANDLE - 1}) {
    wire::CreateMap wish = map();
    wish.btf = handle;  // the first of them is a map
    EXPECT_DEATH_BY_LINE(create(wish), "not one of this session's") << handle;
  }
  wire::CreateMap outer = map(BPF_MAP_TYPE_ARRAY_OF_MAPS);
  outer.innerMap = other + 1;
  EXPECT_DEATH_BY_LINE(create(outer), "not one of this session's");
  outer.innerMap = other;
  EXPECT_GE(create(outer), 0);
  EXPECT_EQ(int(bpf.last(BPF_MAP_CREATE).attr.inner_map_fd), context.load.objects[other].fd.get());
}

TEST_F(WorkerLoad, MapsAreCountedAndTheirMemoryIsSummedUp) {
  begin();
  for (int i = 0; i < 4; ++i) EXPECT_GE(create(map()), 0);
  EXPECT_EQ(create(map()), -EPERM);
  EXPECT_EQ(bpf.count(BPF_MAP_CREATE), 4u);
}

TEST_F(WorkerLoad, MapMemoryDoesNotOverflow) {
  begin();
  wire::CreateMap wish = map();
  wish.keySize = wish.valueSize = wish.maxEntries = ~0u;
  EXPECT_EQ(create(wish), -EPERM);
  wish = map();
  wish.maxEntries = (1 << 20) / 16;  // 8 + 8 bytes each: exactly what is granted
  EXPECT_GE(create(wish), 0);
  wish.maxEntries = 1;
  EXPECT_EQ(create(wish), -EPERM);
}

TEST_F(WorkerLoad, PerCpuValuesAreChargedForEachCpu) {
  begin();
  wire::CreateMap wish = map(BPF_MAP_TYPE_PERCPU_ARRAY);
  wish.maxEntries = (1 << 20) / (8 + 4 * 8) + 1;
  EXPECT_EQ(create(wish), -EPERM);
  --wish.maxEntries;
  EXPECT_GE(create(wish), 0);
}

TEST_F(WorkerLoad, AnArenaIsChargedByItsPages) {
  begin();
  wire::CreateMap wish = map(BPF_MAP_TYPE_ARENA);
  wish.keySize = wish.valueSize = 0;
  wish.maxEntries = (1 << 20) / 4096 + 1;
  EXPECT_EQ(create(wish), -EPERM);
  --wish.maxEntries;
  EXPECT_GE(create(wish), 0);
}

TEST_F(WorkerLoad, AMapThatTheKernelRefusesCostsNothing) {
  begin();
  bpf.answers[BPF_MAP_CREATE] = -ENOMEM;
  EXPECT_EQ(create(map()), -ENOMEM);
  EXPECT_EQ(context.load.maps, 0u);
  EXPECT_EQ(context.load.mapBytes, 0u);
}

// ---- programs ----

TEST_F(WorkerLoad, AProgramThatIsNotExactlyOneOfTheGrantEndsTheSession) {
  begin();
  std::vector<bpf_insn> plain(RETURN, RETURN + 2);
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.type = BPF_PROG_TYPE_TRACING; }), "outside the grant");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.expectedAttachType = BPF_XDP_DEVMAP; }), "outside the grant");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.attachBtfId = 7; }), "outside the grant");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.flags = BPF_F_XDP_HAS_FRAGS; }), "outside the grant");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.flags = BPF_F_TOKEN_FD; }), "outside the grant");
  EXPECT_EQ(bpf.count(BPF_PROG_LOAD), 0u);
}

TEST_F(WorkerLoad, EachGrantedProgramIsLoadedOnceButARefusedOneMayBeTriedAgain) {
  begin();
  std::vector<bpf_insn> plain(RETURN, RETURN + 2);
  bpf.answers[BPF_PROG_LOAD] = -EACCES;
  EXPECT_EQ(load(plain), -EACCES);
  bpf.answers.clear();
  EXPECT_GE(load(plain), 0);
  EXPECT_DEATH_BY_LINE(load(plain), "outside the grant");
}

TEST_F(WorkerLoad, MalformedProgramsEndTheSession) {
  begin();
  std::vector<bpf_insn> plain(RETURN, RETURN + 2);
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { memset(wish.name, 'x', sizeof wish.name); }), "text without an end");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { memset(wish.license, 'x', sizeof wish.license); }), "text without an end");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.logSize = wire::MAX_LOG + 1; }), "malformed program");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.funcInfoRecord = 257; }), "malformed program");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.instructionCount = 3; }), "bytes instead of");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.instructionCount = 0; }), "bytes instead of");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.instructionCount = ~0u; }), "blob of");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.lineInfoRecord = 256, wish.lineInfoCount = ~0u; }), "blob of");
  EXPECT_DEATH_BY_LINE(load(plain, [](auto& wish) { wish.btf = 0; }), "not one of this session's");
}

TEST_F(WorkerLoad, HandlesInInstructionsBecomeTheDescriptorsOfThisSession) {
  begin();
  int64_t handle = create(map());
  int descriptor = context.load.objects[handle].fd.get();
  ASSERT_GE(load(wide(BPF_PSEUDO_MAP_FD, handle)), 0);
  EXPECT_EQ(bpf.last(BPF_PROG_LOAD).instructions[0].imm, descriptor);
  std::ranges::fill(context.load.used, false);
  ASSERT_GE(load(wide(BPF_PSEUDO_MAP_VALUE, handle, 2)), 0);
  EXPECT_EQ(bpf.last(BPF_PROG_LOAD).instructions[0].imm, descriptor);
  EXPECT_EQ(bpf.last(BPF_PROG_LOAD).instructions[1].imm, 2);
}

TEST_F(WorkerLoad, ARawDescriptorNumberInAnInstructionEndsTheSession) {
  begin();
  int64_t handle = create(map());
  for (int32_t number : {int32_t(handle) + 1, 100, -1, INT32_MIN, context.load.objects[handle].fd.get()}) {
    EXPECT_DEATH_BY_LINE(load(wide(BPF_PSEUDO_MAP_FD, number)), "not one of this session's") << number;
    EXPECT_DEATH_BY_LINE(load(wide(BPF_PSEUDO_MAP_VALUE, number)), "not one of this session's") << number;
  }
  EXPECT_EQ(bpf.count(BPF_PROG_LOAD), 0u);
}

TEST_F(WorkerLoad, EachWayOfNamingAnObjectThatWeDoNotTranslateEndsTheSession) {
  begin();
  create(map());
  for (uint8_t source = 0; source < 16; ++source) {
    bool known = source == 0 || source == BPF_PSEUDO_FUNC || source == BPF_PSEUDO_MAP_FD || source == BPF_PSEUDO_MAP_VALUE ||
                 source == BPF_PSEUDO_BTF_ID || source == BPF_PSEUDO_MAP_IDX || source == BPF_PSEUDO_MAP_IDX_VALUE;
    if (known) continue;  // what is left: what nobody knows yet
    EXPECT_DEATH_BY_LINE(load(wide(source, 0)), "in a way that is not permitted") << int(source);
  }
  EXPECT_DEATH_BY_LINE(load(wide(BPF_PSEUDO_BTF_ID, 5, 3)), "module 3 is not one of this session's");
  EXPECT_GE(load(wide(BPF_PSEUDO_BTF_ID, 5, 0)), 0);
}

TEST_F(WorkerLoad, HalfAWideInstructionEndsTheSession) {
  begin();
  EXPECT_DEATH_BY_LINE(load({RETURN[0], {BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, 0}}), "half of a pair");
  EXPECT_DEATH_BY_LINE(load({{BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, 0}, RETURN[0], RETURN[1]}), "half of a pair");
  // The second half of one pair is not the first of the next: a scan that is off by one would miss the third instruction.
  EXPECT_DEATH_BY_LINE(
      load({{BPF_LD | BPF_IMM | BPF_DW, 1, 0, 0, 0}, {}, {BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, 9}, {}, RETURN[1]}),
      "not one of this session's");
}

TEST_F(WorkerLoad, ARefusedHelperOrAFunctionOfAModuleThatWasNotGivenEndsTheSession) {
  begin();
  auto call = [](uint8_t source, int16_t offset, int32_t number) {
    return std::vector<bpf_insn>{{BPF_JMP | BPF_CALL, 0, source, offset, number}, RETURN[0], RETURN[1]};
  };
  EXPECT_DEATH_BY_LINE(load(call(0, 0, BPF_FUNC_probe_write_user)), "calls helper 36, which this host refuses");
  EXPECT_DEATH_BY_LINE(load(call(BPF_PSEUDO_KFUNC_CALL, 1, 100)), "module 1 is not one of this session's");
  EXPECT_GE(load(call(0, 0, BPF_FUNC_ktime_get_ns)), 0);
  std::ranges::fill(context.load.used, false);
  EXPECT_GE(load(call(BPF_PSEUDO_CALL, 0, BPF_FUNC_probe_write_user)), 0) << "a call of its own function at that distance";
}

TEST_F(WorkerLoad, TheVerifiersLogComesInADescriptor) {
  begin();
  bpf.log = "R1 invalid mem access";
  bpf.answers[BPF_PROG_LOAD] = -EACCES;
  wire::LoadProgram wish = program(2);
  wish.logLevel = 1;
  wish.logSize = 4096;
  auto* bytes = reinterpret_cast<const uint8_t*>(RETURN);
  Request request = requestOf(Op::loadProgram, wish, {bytes, bytes + sizeof RETURN});
  Answer answer = perform(context, request, Loading);
  EXPECT_EQ(answer.result, -EACCES);
  char text[64] = {};
  ASSERT_TRUE(answer.descriptor);
  EXPECT_EQ(pread(answer.descriptor.get(), text, sizeof text, 0), ssize_t(bpf.log.size()));
  EXPECT_EQ(text, bpf.log);
}

// ---- blobs ----

TEST_F(WorkerLoad, ABlobThatCouldChangeOrIsShorterThanItSaysEndsTheSession) {
  begin();
  constexpr int ALL[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
  auto send = [&](int seals, uint32_t said, bool tail = false) {
    Request request = requestOf(Op::loadBtf, wire::LoadBtf{said, 0}, tail ? std::vector<uint8_t>(1) : std::vector<uint8_t>());
    Fd memfd(memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(memfd.get(), 100), 0);
    EXPECT_EQ(fcntl(memfd.get(), F_ADD_SEALS, seals), 0);
    request.descriptors[request.descriptorCount++] = std::move(memfd);
    return perform(context, request, Loading).result;
  };
  int all = ALL[0] | ALL[1] | ALL[2] | ALL[3];
  for (int missing : ALL) EXPECT_DEATH_BY_LINE(send(all & ~missing, 100), "not a sealed memfd") << missing;
  EXPECT_DEATH_BY_LINE(send(all, 101), "shorter than it says");
  EXPECT_DEATH_BY_LINE(send(all, 100, true), "shorter than it says");
  EXPECT_DEATH_BY_LINE(send(all, (32 << 20) + 1), "blob of");
  Request plain = requestOf(Op::loadBtf, wire::LoadBtf{1, 0});
  plain.descriptors[plain.descriptorCount++] = Fd(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_DEATH_BY_LINE(perform(context, plain, Loading), "not a sealed memfd");
  EXPECT_GE(send(all, 100), 0);
}

TEST_F(WorkerLoad, TooManyBtfObjectsEndTheSession) {
  begin();
  for (int i = 0; i < 8; ++i) EXPECT_GE(ask(Op::loadBtf, Loading, wire::LoadBtf{1, 0}, {0}), 0);
  EXPECT_DEATH_BY_LINE(ask(Op::loadBtf, Loading, wire::LoadBtf{1, 0}, {0}), "more than 8 BTF objects");
}

// ---- first contents ----

TEST_F(WorkerLoad, ValuesThatAreDescriptorsComeFromHandlesOrEndTheSession) {
  begin();
  int64_t inner = create(map());
  for (uint32_t type : {BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP, BPF_MAP_TYPE_SOCKMAP,
                        BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_SK_STORAGE}) {
    int64_t handle = create(map(type));
    EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{uint32_t(handle), 4, 4, 0}, std::vector<uint8_t>(8)),
                         "are descriptors")
        << type;
    context.load.objects.pop_back();
    context.load.maps = 1;
  }
  int64_t outer = create(map(BPF_MAP_TYPE_ARRAY_OF_MAPS)), programs = create(map(BPF_MAP_TYPE_PROG_ARRAY));
  std::vector<uint8_t> element = {0, 0, 0, 0, uint8_t(inner), 0, 0, 0};
  EXPECT_EQ(ask(Op::initialise, Loading, wire::Initialise{uint32_t(outer), 4, 4, 0}, element), 0);
  EXPECT_EQ(int(bpf.last(BPF_MAP_UPDATE_ELEM).value), context.load.objects[inner].fd.get());
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{uint32_t(programs), 4, 4, 0}, element), "not one of this session's");
  element[4] = 77;
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{uint32_t(outer), 4, 4, 0}, element), "not one of this session's");
}

TEST_F(WorkerLoad, AnElementOfAnotherSizeThanItsMapsEndsTheSession) {
  begin();
  uint32_t plain = create(map()), perCpu = create(map(BPF_MAP_TYPE_PERCPU_ARRAY));
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{plain, 4, 5, 0}, std::vector<uint8_t>(9)), "element of");
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{plain, 3, 4, 0}, std::vector<uint8_t>(7)), "element of");
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{perCpu, 4, 4, 0}, std::vector<uint8_t>(8)), "element of");
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{plain, 4, 4, 0}, std::vector<uint8_t>(7)), "bytes instead of");
  EXPECT_EQ(ask(Op::initialise, Loading, wire::Initialise{perCpu, 4, 32, 0}, std::vector<uint8_t>(36)), 0);
}

TEST_F(WorkerLoad, FunctionsOfAStructOpsArePutWhereTheyBelongOrEndTheSession) {
  ceiling.mapTypes |= 1ull << BPF_MAP_TYPE_STRUCT_OPS;
  ceiling.programTypes |= 1ull << BPF_PROG_TYPE_STRUCT_OPS;
  wire::Grant wish = grant();
  wish.programs[1] = {BPF_PROG_TYPE_STRUCT_OPS, BPF_TRACE_FENTRY, 7, 0};  // a member's number, which is no attach type of the ceiling's
  ASSERT_EQ(ask(Op::grant, Waiting, wish), 0);
  wire::CreateMap operations = map(BPF_MAP_TYPE_STRUCT_OPS);
  operations.valueSize = 16, operations.flags = BPF_F_LINK, operations.btfValueType = 9;
  operations.btf = ask(Op::loadBtf, Loading, wire::LoadBtf{1, 0}, {0});
  uint32_t ops = create(operations), plain = create(map()), function = load({RETURN, RETURN + 2});
  EXPECT_EQ(bpf.calls[bpf.calls.size() - 3].attr.btf_vmlinux_value_type_id, 9u);
  auto set = [&](uint32_t into, uint32_t valueSize, wire::FunctionAt at) {
    std::vector<uint8_t> bytes(4 + valueSize + sizeof at);
    memcpy(&bytes[4 + valueSize], &at, sizeof at);
    return ask(Op::initialise, Loading, wire::Initialise{into, 4, valueSize, 0, 1}, bytes);
  };
  EXPECT_EQ(set(ops, 16, {0, function}), 0);
  EXPECT_EQ(int(bpf.last(BPF_MAP_UPDATE_ELEM).value), context.load.objects[function].fd.get());
  EXPECT_EQ(set(ops, 16, {8, function}), 0);
  EXPECT_EQ(bpf.last(BPF_MAP_UPDATE_ELEM).value, 0u);
  for (uint32_t offset : {9u, 16u, ~0u, ~0u - 7}) EXPECT_DEATH_BY_LINE(set(ops, 16, {offset, function}), "function at");
  EXPECT_DEATH_BY_LINE(set(plain, 4, {0, function}), "function at");
  EXPECT_DEATH_BY_LINE(set(ops, 16, {0, plain}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{ops, 4, 16, 0, ~0u}, std::vector<uint8_t>(20)), "blob of");
}

TEST_F(WorkerLoad, AReusedMapIsNeitherSetNorFrozen) {
  bpf.mapInfo.type = BPF_MAP_TYPE_ARRAY;
  bpf.mapInfo.key_size = bpf.mapInfo.value_size = 4;
  wire::Grant wish = grant();
  wish.reuseCount = 1;
  wish.reuse[0] = {9, 3};
  ASSERT_EQ(ask(Op::grant, Waiting, wish), 0);
  EXPECT_DEATH_BY_LINE(ask(Op::initialise, Loading, wire::Initialise{0, 4, 4, 0}, std::vector<uint8_t>(8)), "not the loader's to set");
  EXPECT_DEATH_BY_LINE(ask(Op::freezeMap, Loading, wire::Handle{0}), "not the loader's to freeze");
  EXPECT_GE(load(wide(BPF_PSEUDO_MAP_FD, 0)), 0) << "but programs may use it";
}

TEST_F(WorkerLoad, AHandleOfNobodyEndsTheSession) {
  begin();
  int64_t map_ = create(map()), program_ = load({RETURN, RETURN + 2});
  EXPECT_DEATH_BY_LINE(ask(Op::freezeMap, Loading, wire::Handle{99}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::freezeMap, Loading, wire::Handle{uint32_t(program_)}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::inspectHandle, Loading, wire::Handle{99}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::bindMap, Loading, wire::BindMap{uint32_t(map_), uint32_t(map_)}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::bindMap, Loading, wire::BindMap{uint32_t(program_), NO_HANDLE}), "not one of this session's");
  EXPECT_DEATH_BY_LINE(ask(Op::inspectHandle, Granted, wire::Handle{99}), "not one of this session's");
}

// ---- commit ----

TEST_F(WorkerLoad, ACommitPinsEverythingAsideAndThenRenamesOnce) {
  begin();
  wire::Commit wish{5, 1, 1, 0, {}};
  wish.handles[1] = create(map());
  wish.handles[0] = load({RETURN, RETURN + 2});
  EXPECT_EQ(ask(Op::commit, Granted, wish), 0);
  EXPECT_TRUE(context.load.committed);
  EXPECT_EQ(bpf.files, (std::vector<std::string>{"mkdir staging/5", "pin staging/5/p0", "pin staging/5/m0", "rename staging/5 loads/5"}));
}

TEST_F(WorkerLoad, ACommitThatFailsLeavesNothing) {
  begin();
  bpf.names = {"p0"};
  wire::Commit wish{5, 1, 0, 0, {}};
  wish.handles[0] = load({RETURN, RETURN + 2});
  bpf.failing["rename staging/5 loads/5"] = -EEXIST;
  EXPECT_EQ(ask(Op::commit, Granted, wish), -EEXIST);
  EXPECT_EQ(bpf.files.back(), "rmdir staging/5");
}

TEST_F(WorkerLoad, ACommitOfMoreThanFitsOrOfNobodysHandleEndsTheSession) {
  begin();
  create(map());
  EXPECT_DEATH_BY_LINE(ask(Op::commit, Granted, wire::Commit{5, wire::MAX_PROGRAMS + 1, 0, 0, {}}), "malformed commit");
  EXPECT_DEATH_BY_LINE(ask(Op::commit, Granted, wire::Commit{5, 0, wire::MAX_MAPS + 1, 0, {}}), "malformed commit");
  EXPECT_DEATH_BY_LINE(ask(Op::commit, Granted, wire::Commit{5, 1, 0, 0, {0}}), "not one of this session's");  // a map, as a program
  EXPECT_DEATH_BY_LINE(ask(Op::commit, Granted, wire::Commit{5, 0, 1, 0, {9}}), "not one of this session's");
}

}  // namespace
}  // namespace bpfman
