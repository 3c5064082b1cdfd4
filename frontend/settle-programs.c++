#include "frontend/settle-programs.h"

#include <linux/bpf.h>

#include <algorithm>

#include <kj/debug.h>

#include "frontend/hook.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

// Where libbpf would attach it is no matter of these programs' types; the loader sees it the same way.
bool isFor(const HookType& hook, schema::LoadResult::Loaded::Reader said) {
  bool anyAttach = said.getType() == BPF_PROG_TYPE_SCHED_CLS || said.getType() == BPF_PROG_TYPE_CGROUP_SKB;
  return hook.kernelType == said.getType() && (anyAttach || hook.expectedAttachType == said.getExpectedAttachType());
}

schema::LoadResult::Loaded::Reader namedIn(capnp::List<schema::LoadResult::Loaded>::Reader found, const std::string& name) {
  for (auto each : found)
    if (each.getName() == name.c_str()) return each;
  KJ_FAIL_REQUIRE("malformed answer from the loader");
}

void settle(WantedProgram& program, capnp::List<schema::LoadResult::Loaded>::Reader found) {
  auto said = namedIn(found, program.name);
  KJ_IF_MAYBE (type, typeNamed(said.getFamily()))
    KJ_IF_MAYBE (hook, hookOf(*type))
      if (isFor(*hook, said)) {
        bool resolved = hook->kernelType == BPF_PROG_TYPE_TRACING || hook->kernelType == BPF_PROG_TYPE_LSM;
        std::string target = resolved && program.attachTo.empty() ? said.getAttachTo().cStr() : program.attachTo;
        program = {static_cast<uint16_t>(*type), program.name, target, typeName(*type).cStr(), hook->kernelType, hook->expectedAttachType};
        return;
      }
  refuse("section \"", said.getSection(), "\" of program ", said.getName(),
         " says no type that this version loads: name the programs that are to be loaded, with their types (--programs TYPE:NAME)");
}

}  // namespace

bool mustSettle(const LoadWish& wish) { return wish.all || std::ranges::any_of(wish.programs, &WantedProgram::infer); }

void settlePrograms(Core& core, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope) {
  capnp::MallocMessageBuilder message;
  auto job = message.initRoot<schema::LoadJob>();
  job.setInspectOnly(true);
  job.setKernelRelease(releaseOfKernel());
  auto names = job.initPrograms(wish.programs.size());
  for (size_t i = 0; i < wish.programs.size(); ++i) names[i].setName(wish.programs[i].name.c_str());
  auto loader = core.loads.inspector(cancellation, scope);
  int files[1] = {object.fd()};
  auto result = loader->ask(message, files);
  KJ_IF_MAYBE (refused, refusalOf(result)) refuse(refused->reason.c_str());
  auto found = result.getDone().getPrograms();
  if (wish.all) {
    for (auto program : found)
      if (!program.getOptional()) wish.programs.push_back({0, program.getName().cStr(), "", "", 0, 0, 0, true});
    if (wish.programs.empty()) refuse("the object has no program that is loaded without being named (its sections begin with ?)");
    wish.all = false;
  }
  for (auto& program : wish.programs)
    if (program.infer) settle(program, found);
}

}  // namespace bpfman
