// Modules of the kernel in a load session: what the frontend gives, and no more, whatever a loader or a frontend that was taken over says.
// Needs no root.
#include "worker/recording-bpf.h"

namespace bpfman {
namespace {

using wire::NO_HANDLE;
using wire::Op;

constexpr bpf_insn RETURN[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};

class WorkerModules : public testing::Test {
 protected:
  RecordingBpf bpf;
  wire::Ceiling ceiling = ceilingForTests();
  Context context{bpf, ceiling};

  void SetUp() override { ceiling.attachTypes[0] |= 1ull << BPF_TRACE_FENTRY; }

  int64_t add(State state = Waiting) {
    Request request = requestOf(Op::addModule, 0, 1);
    return perform(context, request, state).result;
  }
  int64_t grant(std::initializer_list<wire::GrantedProgram> programs) {
    wire::Grant grant{};
    for (auto& program : programs) grant.programs[grant.programCount++] = program;
    Request request = requestOf(Op::grant, grant);
    return perform(context, request, Waiting).result;
  }
  static wire::GrantedProgram fentry(uint32_t function, uint32_t module) {
    return {BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, function, 0, 0, 0, module};
  }
  int64_t load(const wire::GrantedProgram& as, const std::vector<bpf_insn>& instructions = {RETURN, RETURN + 2}) {
    wire::LoadProgram wish{};
    wish.type = as.type, wish.expectedAttachType = as.expectedAttachType, wish.attachBtfId = as.attachBtfId, wish.attachModule = as.module;
    wish.btf = NO_HANDLE;
    wish.instructionCount = instructions.size();
    auto* bytes = reinterpret_cast<const uint8_t*>(instructions.data());
    Request request = requestOf(Op::loadProgram, wish, {bytes, bytes + instructions.size() * sizeof(bpf_insn)});
    return perform(context, request, Loading).result;
  }
  static std::vector<bpf_insn> call(int16_t module) {
    return {{BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, module, 100}, RETURN[0], RETURN[1]};
  }
};

constexpr wire::GrantedProgram XDP = {BPF_PROG_TYPE_XDP, BPF_XDP, 0, 0};

TEST_F(WorkerModules, AProgramIsForAFunctionOfTheModuleThatTheGrantNames) {
  EXPECT_EQ(add(), 1);
  EXPECT_EQ(add(), 2);
  ASSERT_EQ(grant({fentry(70, 1), fentry(70, 2)}), 0);
  EXPECT_GE(load(fentry(70, 2)), 0);
  EXPECT_EQ(int(bpf.last(BPF_PROG_LOAD).attr.attach_btf_obj_fd), context.load.modules[2].get()) << "of the same number in two modules";
  EXPECT_GE(load(fentry(70, 1)), 0);
  EXPECT_EQ(int(bpf.last(BPF_PROG_LOAD).attr.attach_btf_obj_fd), context.load.modules[1].get());
}

TEST_F(WorkerModules, TheLoaderCannotChooseAnotherModuleThanTheGrants) {
  add(), add();
  ASSERT_EQ(grant({fentry(70, 1)}), 0);
  for (uint32_t other : {0u, 2u, 3u, ~0u}) EXPECT_DEATH_BY_LINE(load(fentry(70, other)), "outside the grant") << other;
  EXPECT_DEATH_BY_LINE(load(fentry(71, 1)), "outside the grant");
}

TEST_F(WorkerModules, AGrantOfAModuleThatWasNotGivenLoadsNothing) {
  add();
  ASSERT_EQ(grant({fentry(70, 2)}), 0);
  EXPECT_DEATH_BY_LINE(load(fentry(70, 2)), "module 2 is not one of this session's");
  EXPECT_EQ(bpf.count(BPF_PROG_LOAD), 0u);
}

TEST_F(WorkerModules, CallsAndReferencesAreIntoThoseThatWereGivenOrEndTheSession) {
  add();
  ASSERT_EQ(grant({XDP, XDP, XDP}), 0);
  EXPECT_EQ(add(Granted), 2) << "what an object needs of modules shows while it is loaded";
  for (int16_t other : {3, 4, 8, 9, -1, INT16_MIN, INT16_MAX})
    EXPECT_DEATH_BY_LINE(load(XDP, call(other)), "not one of this session's") << other;
  EXPECT_GE(load(XDP, call(2)), 0);
  auto& made = bpf.last(BPF_PROG_LOAD);
  ASSERT_EQ(made.named.size(), 1 + wire::MAX_MODULES);
  EXPECT_EQ(made.instructions[0].off, 2);
  EXPECT_EQ(made.named[2], context.load.modules[2].get());
  EXPECT_EQ(made.named[3], -1) << "nothing that the kernel would take";
  EXPECT_EQ(made.attr.attach_btf_obj_fd, 0u);

  auto variable = [](int32_t module) {
    return std::vector<bpf_insn>{{BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_BTF_ID, 0, 5}, {0, 0, 0, 0, module}, RETURN[0], RETURN[1]};
  };
  for (int32_t other : {3, -1, INT32_MIN, context.load.modules[2].get() + 100})
    EXPECT_DEATH_BY_LINE(load(XDP, variable(other)), "not one of this session's") << other;
  EXPECT_GE(load(XDP, variable(1)), 0);
  EXPECT_EQ(bpf.last(BPF_PROG_LOAD).instructions[1].imm, context.load.modules[1].get());
}

TEST_F(WorkerModules, OnlyAKernelsBtfIsAModule) {
  bpf.kernelBtf = 0;  // a program's BTF says so, and a program
  EXPECT_EQ(add(), -EPERM);
  bpf.answers[BPF_OBJ_GET_INFO_BY_FD] = -EINVAL;  // a file
  EXPECT_EQ(add(), -EINVAL);
  EXPECT_EQ(context.load.moduleCount, 0u);
  EXPECT_FALSE(context.load.modules[1]);
}

TEST_F(WorkerModules, MoreThanTheLimitEndTheSession) {
  for (uint32_t i = 1; i <= wire::MAX_MODULES; ++i) EXPECT_EQ(add(), i);
  EXPECT_DEATH_BY_LINE(add(), "more than 8 modules");
}

TEST_F(WorkerModules, OnlyTheFrontendGivesThem) {
  EXPECT_DEATH_BY_LINE(add(Loading), "not permitted");
  EXPECT_DEATH_BY_LINE(add(Control), "not permitted");
  Request none = requestOf(Op::addModule, 0, 0), two = requestOf(Op::addModule, 0, 2);
  EXPECT_DEATH_BY_LINE(perform(context, none, Waiting), "descriptors");
  EXPECT_DEATH_BY_LINE(perform(context, two, Waiting), "descriptors");
}

}  // namespace
}  // namespace bpfman
