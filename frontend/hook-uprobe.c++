// A program at instructions of a binary, or where its functions return; in all processes that run it, or in one.
#include <linux/bpf.h>

#include "frontend/hook-single.h"
#include "frontend/limited-text.h"
#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr auto PATIENCE = 5 * kj::SECONDS;  // with a file system

using schema::ProgramType;

std::string pathFrom(capnp::Text::Reader text) { return limitedText(text, "the binary's path", limits::PATH_BYTES); }

// What was passed as the binary, when the caller may probe it, and the process. Fills link.target.
BinaryTarget binaryOf(Core& core, AttachWish& wish, const std::string& path, const std::string& function, LinkRow& link,
                      kj::WaitScope& scope) {
  auto binary = core.intake.binary(kj::mv(wish.target));
  AttachTarget target{static_cast<ProgramType>(wish.program.type), ""};
  target.own = wish.uid != 0 && binary.owner == wish.uid;
  pid_t pid = 0;
  KJ_IF_MAYBE (process, wish.process) {
    target.ownProcess = process->ownedBy(wish.uid);
    pid = process->pid();
  }
  wish.rights.requireAttach(target);
  auto late = core.io.provider->getTimer().afterDelay(PATIENCE).then([]() { refuse("the binary's file system does not answer"); });
  core.intake.requireLocal(binary).exclusiveJoin(kj::mv(late)).wait(scope);
  link.target = kj::str(path.c_str(), pid ? kj::str(" in process ", pid) : kj::String(), ':', function.c_str()).cStr();
  return binary;
}

class UprobeHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    auto place = wish.place.getUprobe();
    auto binary = binaryOf(core, wish, pathFrom(place.getPath()), limitedText(place.getFunction(), "the function's name"), link, scope);

    // A process that lives when the event is there had its number all the time.
    pid_t pid = 0;
    KJ_IF_MAYBE (process, wish.process) pid = process->pid();
    bool returns = rowOf(wish).type == ProgramType::URETPROBE;
    SingleLink made;
    made.target = core.broker.openUprobe(binary.file, place.getOffset(), returns, pid).wait(scope);
    KJ_IF_MAYBE (process, wish.process)
      if (!process->alive()) refuse("that process has ended");
    made.wanted.kind = wire::LinkKind::perfEvent;
    made.wanted.attachType = BPF_PERF_EVENT;
    return made;
  }
};

class UprobeMultiHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    auto place = wish.place.getUprobeMulti();
    auto spots = place.getSpots();
    if (spots.size() == 0 || spots.size() > limits::PROBED_PLACES)
      refuse(spots.size(), " places in the binary: 1 to ", limits::PROBED_PLACES, " in one link");
    auto functions = limitedText(place.getFunction(), "what names the functions", limits::PATH_BYTES);
    auto binary = binaryOf(core, wish, pathFrom(place.getPath()), functions, link, scope);
    SingleLink made;
    auto add = [&](uint64_t number) { made.tail.append(reinterpret_cast<const char*>(&number), sizeof number); };
    for (auto spot : spots) add(spot.getOffset());
    for (auto spot : spots) add(spot.getCounter());
    for (auto spot : spots) add(spot.getCookie());
    made.wanted.kind = wire::LinkKind::uprobeMulti;
    made.wanted.attachType = rowOf(wish).expectedAttachType;
    made.wanted.flags = rowOf(wish).type == ProgramType::URETPROBE_MULTI ? BPF_F_UPROBE_MULTI_RETURN : 0;
    KJ_IF_MAYBE (process, wish.process) made.wanted.relative = process->pid();
    made.target = kj::mv(binary.file);
    return made;
  }

  void confirm(const AttachWish& wish) const override {
    KJ_IF_MAYBE (process, wish.process)
      if (!process->alive()) refuse("that process has ended");
  }
};

const UprobeHook UPROBE;
const UprobeMultiHook UPROBE_MULTI;

}  // namespace

const Hook& uprobeHook = UPROBE;
const Hook& uprobeMultiHook = UPROBE_MULTI;

}  // namespace bpfman
