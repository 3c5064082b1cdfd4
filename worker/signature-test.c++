// Signed programs: their instructions reach the kernel as they were signed, maps named by index, and the signature beside them. Needs no
// root.
#include "worker/recording-bpf.h"

namespace bpfman {
namespace {

using wire::FIRST_INDEX;
using wire::NO_HANDLE;
using wire::Op;

class WorkerSignature : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  template <typename T>
  int64_t ask(Op op, State state, const T& fixed, const std::vector<uint8_t>& tail = {}) {
    Request request = requestOf(op, fixed, tail);
    return perform(context, request, state).result;
  }
  void SetUp() override {
    wire::Grant grant{};
    grant.mapTypes = ~0ull;
    grant.maxMapBytes = 1 << 20;
    grant.maxMaps = 4;
    grant.programCount = 1;
    grant.programs[0] = {BPF_PROG_TYPE_XDP, BPF_XDP, 0, 0};
    ASSERT_EQ(ask(Op::grant, Waiting, grant), 0);
    ASSERT_EQ(ask(Op::loadBtf, Loading, wire::LoadBtf{1, 0}, {0}), 0);
    wire::CreateMap map{};
    map.type = BPF_MAP_TYPE_ARRAY, map.keySize = map.valueSize = 4, map.maxEntries = 1, map.btf = map.innerMap = NO_HANDLE;
    ASSERT_EQ(ask(Op::createMap, Loading, map), 1);
  }
  static std::vector<bpf_insn> naming(uint8_t source, int32_t index) {
    return {{BPF_LD | BPF_IMM | BPF_DW, 1, source, 0, index}, {}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  }
  int64_t load(const std::vector<bpf_insn>& instructions, const std::vector<uint8_t>& signature, uint32_t said, uint32_t map = 1) {
    wire::LoadProgram wish{};
    wish.type = BPF_PROG_TYPE_XDP, wish.expectedAttachType = BPF_XDP, wish.btf = NO_HANDLE;
    wish.instructionCount = instructions.size();
    wish.named[2] = map + 1;
    wish.signatureSize = said, wish.keyring = 7;
    auto* bytes = reinterpret_cast<const uint8_t*>(instructions.data());
    std::vector<uint8_t> tail(bytes, bytes + instructions.size() * sizeof(bpf_insn));
    tail.insert(tail.end(), signature.begin(), signature.end());
    return ask(Op::loadProgram, Loading, wish, tail);
  }
};

TEST_F(WorkerSignature, InstructionsReachTheKernelAsTheyWereSigned) {
  for (uint8_t source : {BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE}) {
    std::ranges::fill(context.load.used, false);
    auto signedOnes = naming(source, FIRST_INDEX + 2);
    ASSERT_GE(load(signedOnes, {1, 2, 3}, 3), 0);
    auto& made = bpf.last(BPF_PROG_LOAD);
    EXPECT_EQ(memcmp(made.instructions.data(), signedOnes.data(), signedOnes.size() * sizeof(bpf_insn)), 0);
    EXPECT_EQ(made.named.at(FIRST_INDEX + 2), context.load.objects[1].fd.get());
    EXPECT_EQ(made.named.at(FIRST_INDEX + 1), -1) << "nothing that the kernel would take";
    EXPECT_EQ(made.later.signatureSize, 3u);
    EXPECT_EQ(made.later.keyring, 7);
    EXPECT_EQ(made.signature, (std::vector<uint8_t>{1, 2, 3}));
  }
}

TEST_F(WorkerSignature, WithoutOneAnOlderKernelSeesNothingNew) {
  ASSERT_GE(load(naming(BPF_PSEUDO_MAP_FD, 1), {}, 0), 0);
  auto& later = bpf.last(BPF_PROG_LOAD).later;
  EXPECT_EQ(later.signature, 0u);
  EXPECT_EQ(later.signatureSize, 0u);
  EXPECT_EQ(later.keyring, 0);
}

TEST_F(WorkerSignature, AnIndexIsOfAMapOfThisSessionOrEndsIt) {
  for (int32_t index : {0, 1, int(wire::MAX_MODULES), int(FIRST_INDEX + wire::MAX_NAMED), INT32_MAX, -1, INT32_MIN})
    for (uint8_t source : {BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE})
      EXPECT_DEATH_BY_LINE(load(naming(source, index), {}, 0), "names map") << index;
  for (uint32_t handle : {0u, 2u, 1u << 31})  // BTF, and none
    EXPECT_DEATH_BY_LINE(load(naming(0, 0), {}, 0, handle), "not one of this session's") << handle;
  EXPECT_EQ(bpf.count(BPF_PROG_LOAD), 0u);
}

TEST_F(WorkerSignature, ASignatureOfAnotherSizeThanItSaysEndsTheSession) {
  for (uint32_t said : {0u, 2u, 4u}) EXPECT_DEATH_BY_LINE(load(naming(0, 0), {1, 2, 3}, said), "bytes instead of") << said;
  EXPECT_DEATH_BY_LINE(load(naming(0, 0), {1, 2, 3}, ~0u), "blob of");
}

}  // namespace
}  // namespace bpfman
