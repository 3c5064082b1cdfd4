// A program at an instruction of a binary, or where a function of it returns; in all processes that run it, or in one.
#include <linux/bpf.h>

#include "frontend/hook-single.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr auto PATIENCE = 5 * kj::SECONDS;  // with a file system

class UprobeHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    SingleLink made;
    auto place = wish.place.getUprobe();
    if (place.getPath().size() > limits::PATH_BYTES || place.getFunction().size() > limits::NAME_BYTES)
      refuse("the path has at most ", limits::PATH_BYTES, " bytes, the function's name ", limits::NAME_BYTES);
    auto binary = core.intake.binary(kj::mv(wish.target));
    auto type = static_cast<schema::ProgramType>(wish.program.type);
    AttachTarget target{type, ""};
    target.own = wish.uid != 0 && binary.owner == wish.uid;
    KJ_IF_MAYBE (process, wish.process) target.ownProcess = process->ownedBy(wish.uid);
    wish.rights.requireAttach(target);
    auto late = core.io.provider->getTimer().afterDelay(PATIENCE).then([]() { refuse("the binary's file system does not answer"); });
    core.intake.requireLocal(binary).exclusiveJoin(kj::mv(late)).wait(scope);

    // A process that lives when the event is there had its number all the time.
    pid_t pid = 0;
    KJ_IF_MAYBE (process, wish.process) pid = process->pid();
    auto event = core.broker.openUprobe(binary.file, place.getOffset(), type == schema::ProgramType::URETPROBE, pid).wait(scope);
    KJ_IF_MAYBE (process, wish.process)
      if (!process->alive()) refuse("that process has ended");
    link.target = kj::str(place.getPath(), pid ? kj::str(" in process ", pid) : kj::String(), ':', place.getFunction()).cStr();
    made.wanted.kind = wire::LinkKind::perfEvent;
    made.wanted.attachType = BPF_PERF_EVENT;
    made.target = kj::mv(event);
    return made;
  }
};

const UprobeHook UPROBE;

}  // namespace

const Hook& uprobeHook = UPROBE;

}  // namespace bpfman
