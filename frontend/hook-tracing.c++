// Tracepoints in their three forms. They have no owner: who has the class may attach to any.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

void requireAttach(const AttachWish& wish) { wish.rights.requireAttach({static_cast<schema::ProgramType>(wish.program.type), ""}); }

class TracepointHook final : public SingleHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core& core, AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope& scope) const override {
    requireAttach(wish);
    auto place = wish.place.getTracepoint();
    link.target = kj::str(place.getGroup(), '/', place.getName()).cStr();
    wanted.kind = wire::LinkKind::perfEvent;
    wanted.attachType = BPF_PERF_EVENT;
    return core.broker.openTracepoint(place.getGroup(), place.getName()).wait(scope);
  }
};

class RawTracepointHook final : public SingleHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core& core, AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope&) const override {
    requireAttach(wish);
    auto name = wish.place.getRawTracepoint();
    link.target = name.size() > 0 ? name.cStr() : wish.program.attachTo;
    if (link.target.empty() || link.target.size() >= sizeof wanted.name)
      refuse("raw_tp program ", wish.program.name.c_str(), ": say which tracepoint, its section does not");
    wanted.kind = wire::LinkKind::rawTracepoint;
    memcpy(wanted.name, link.target.data(), link.target.size());
    return nullptr;
  }
};

class TpBtfHook final : public SingleHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core& core, AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope&) const override {
    requireAttach(wish);
    link.target = wish.program.attachTo;
    wanted.kind = wire::LinkKind::tracing;
    wanted.attachType = BPF_TRACE_RAW_TP;
    return nullptr;
  }
};

const TracepointHook TRACEPOINT;
const RawTracepointHook RAW_TRACEPOINT;
const TpBtfHook TP_BTF;

}  // namespace

const Hook& tracepointHook = TRACEPOINT;
const Hook& rawTracepointHook = RAW_TRACEPOINT;
const Hook& tpBtfHook = TP_BTF;

}  // namespace bpfman
