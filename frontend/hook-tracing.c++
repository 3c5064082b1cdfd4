// Tracepoints in their three forms, and what was fixed at load: functions of the kernel and its security hooks. They have no owner: who has
// the class may attach to any.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class TracepointHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    SingleLink made;
    requireClass(wish);
    auto place = wish.place.getTracepoint();
    link.target = kj::str(place.getGroup(), '/', place.getName()).cStr();
    made.wanted.kind = wire::LinkKind::perfEvent;
    made.wanted.attachType = BPF_PERF_EVENT;
    made.target = core.broker.openTracepoint(place.getGroup(), place.getName()).wait(scope);
    return made;
  }
};

class RawTracepointHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireClass(wish);
    auto name = wish.place.getRawTracepoint();
    link.target = name.size() > 0 ? name.cStr() : wish.program.attachTo;
    if (link.target.empty() || link.target.size() >= sizeof made.wanted.name)
      refuse("raw_tp program ", wish.program.name.c_str(), ": say which tracepoint, its section does not");
    made.wanted.kind = wire::LinkKind::rawTracepoint;
    memcpy(made.wanted.name, link.target.data(), link.target.size());
    return made;
  }
};

class FixedHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireClass(wish);
    link.target = wish.program.attachTo;
    made.wanted.kind = wire::LinkKind::tracing;
    made.wanted.attachType = rowOf(wish).expectedAttachType;
    return made;
  }
};

const TracepointHook TRACEPOINT;
const RawTracepointHook RAW_TRACEPOINT;
const FixedHook FIXED;

}  // namespace

const Hook& tracepointHook = TRACEPOINT;
const Hook& rawTracepointHook = RAW_TRACEPOINT;
const Hook& fixedHook = FIXED;

}  // namespace bpfman
