#include "frontend/hook-survey.h"

#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <sstream>

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

namespace {

using K = schema::ProgramType;

// What the smallest program of a type is made for, where it must be made for something that every kernel has.
kj::StringPtr madeFor(K type) {
  switch (type) {
    case K::FENTRY:
    case K::FEXIT: return "vfs_read"_kj;
    case K::FMOD_RET: return "security_file_open"_kj;
    case K::LSM:
    case K::LSM_CGROUP: return "bpf_lsm_file_open"_kj;
    case K::ITERATOR: return "bpf_iter_task"_kj;
    default: return ""_kj;
  }
}

std::string reasonOf(const ProgramTypeRow& row, int64_t error) {
  if (error == -EPERM) return "the kernel refuses such programs (Operation not permitted): it is locked down, or was built so";
  auto needs = row.needs.size() > 0 ? kj::str("it needs ", row.needs, " (") : kj::str("the kernel has none (");
  return kj::str(needs, strerror(-error), ')').cStr();
}

struct Session {  // a load session whose loader are we
  kj::Own<WorkerChannel> control, loader;
};

Session startSession(Core& core, Place& place, kj::WaitScope& scope) {
  int control[2], loader[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control));
  kj::AutoCloseFd ours(control[0]), theirs(control[1]);
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, loader));
  kj::AutoCloseFd oursToo(loader[0]), theirsToo(loader[1]);
  int passed[2] = {theirs.get(), theirsToo.get()};
  requireOk(place.worker.callPlain(wire::Op::startSession, passed).wait(scope), "start a load session");
  return {kj::heap<WorkerChannel>(core.io.unixEventPort, kj::mv(ours), "the load session"),
          kj::heap<WorkerChannel>(core.io.unixEventPort, kj::mv(oursToo), "the load session")};
}

std::vector<std::string> functionsOf(const ProgramTypeRow& row) {
  std::istringstream words(row.feature.cStr());
  return {std::istream_iterator<std::string>(words), {}};
}

// All that is asked of the kernel's types.
KernelBtf::Names namesOf(std::span<const ProgramTypeRow> rows) {
  KernelBtf::Names names{{}, "tcp_congestion_ops.ssthresh"};
  for (auto& row : rows) {
    if (madeFor(row.type).size() > 0) names.functions.insert(madeFor(row.type).cStr());
    for (auto& function : functionsOf(row)) names.functions.insert(function);
  }
  return names;
}

}  // namespace

const std::vector<HookSupport>& HookSurvey::take(kj::WaitScope& scope) {
  auto turn = core.locks.take("hook survey", scope);
  if (!known.empty()) return known;
  std::vector<HookSupport> hooks;
  for (auto& row : programTypes()) hooks.push_back({row, ""});
  std::vector<Tried> tried;
  kernel = core.btf.find(namesOf(programTypes()));
  for (auto& hook : hooks) prepare(hook, tried);
  size_t most = kj::min(core.options.ceiling.maxPrograms, wire::MAX_PROGRAMS);  // in one session
  for (size_t from = 0; from < tried.size(); from += most) load(std::span(tried).subspan(from, kj::min(most, tried.size() - from)), scope);
  known = std::move(hooks);
  return known;
}

void HookSurvey::prepare(HookSupport& hook, std::vector<Tried>& tried) {
  auto& row = hook.row;
  uint32_t target = 0;
  if (row.type == K::TP_BTF) target = core.btf.tracepointId("sched_switch").orDefault(0);
  uint32_t attachType = row.expectedAttachType;
  if (row.type == K::STRUCT_OPS) hook.kinds = core.btf.structOps();
  if (row.type == K::STRUCT_OPS)
    KJ_IF_MAYBE (member, kernel.member) target = member->type, attachType = member->index;
  if (auto found = kernel.functions.find(madeFor(row.type).cStr()); found != kernel.functions.end()) target = found->second;
  const wire::Ceiling& ceiling = core.options.ceiling;
  if (!(ceiling.programTypes >> row.kernelType & 1) || !(ceiling.attachTypes[0] >> row.expectedAttachType & 1))
    hook.missing = "the daemon's configuration leaves it out (ceiling.program_types)";
  else if (target == 0 && (row.type == K::TP_BTF || row.type == K::STRUCT_OPS || madeFor(row.type).size() > 0))
    hook.missing = "the kernel does not say its types (CONFIG_DEBUG_INFO_BTF), or has nothing that it is for";
  else
    tried.push_back({hook, {row.kernelType, attachType, target, row.kernelType == BPF_PROG_TYPE_SYSCALL ? uint32_t{BPF_F_SLEEPABLE} : 0}});
}

void HookSurvey::load(std::span<Tried> tried, kj::WaitScope& scope) {
  wire::Grant grant{};
  for (auto& each : tried) grant.programs[grant.programCount++] = each.granted;
  auto place = core.workers.host(scope);
  Session session = startSession(core, *place, scope);
  requireOk(session.control->call(wire::Op::grant, grant).wait(scope), "look which hooks there are");
  for (auto& [hook, granted] : tried) {
    auto& row = hook.row;
    bool decides = row.programClass == ProgramClass::cgroup || row.type == K::LSM_CGROUP;  // 1: go on
    bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = decides},
                       {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    wire::LoadProgram wish{};
    wish.type = granted.type, wish.expectedAttachType = granted.expectedAttachType, wish.attachBtfId = granted.attachBtfId;
    wish.flags = granted.flags;
    wish.btf = wire::NO_HANDLE, wish.instructionCount = kj::size(code);
    strcpy(wish.name, "survey"), strcpy(wish.license, "GPL");
    auto bytes = kj::arrayPtr(reinterpret_cast<const kj::byte*>(code), sizeof code);
    int64_t result = session.loader->call(wire::Op::loadProgram, wish, bytes).wait(scope).result;
    if (result == -ENOMEM || result == -EAGAIN) refuse("look which hooks there are: ", strerror(-result), "; try again");
    if (result < 0)
      hook.missing = reasonOf(row, result);
    else if (!std::ranges::all_of(functionsOf(row), [&](auto& function) { return kernel.functions.contains(function); }))
      hook.missing = kj::str("it needs ", row.needs).cStr();
  }
}

}  // namespace bpfman
