// Tracepoints in their three forms. Each link stands alone: no order, no interface.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/hook.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class TracingHook : public Hook {
 public:
  LinkRow attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const final {
    AttachTarget target{static_cast<schema::ProgramType>(wish.program.type), ""};
    wish.rights.requireAttach(target);
    LinkRow link = newLink(core, wish);
    link.nsid = core.workers.hostNamespace();
    wire::CreateLink wanted{};
    kj::Maybe<kj::AutoCloseFd> event = describe(core, wish, link, wanted, scope);
    wanted.program = loadedProgram(wish.program.load, wish.program.index);
    wanted.to = pinOf(link);
    core.catalog.put(link);  // the journal: state attaching
    auto failure = kj::runCatchingExceptions([&]() {
      auto host = core.workers.host(scope);
      int descriptor = -1;
      KJ_IF_MAYBE (e, event) descriptor = e->get();
      auto with = event == nullptr ? nullptr : kj::arrayPtr(const_cast<const int*>(&descriptor), 1);
      auto reply = host->worker.call(wire::Op::createLink, wanted, nullptr, with).wait(scope);
      if (reply.result == -ENOENT || reply.result == -EINVAL)
        refuse("attach to ", link.target.c_str(), ": this kernel has no such tracepoint, or the program does not fit it (",
               kernelReason(reply.result), ")");
      if (reply.result == -EEXIST)
        refuse("program ", link.programId, " is already attached to ", link.target.c_str(), "; the kernel allows it once: detach it first");
      link.kernelLinkId = requireOk(reply, kj::str("attach to ", link.target.c_str()));
      link.state = LinkRow::attached;
      core.catalog.put(link);
    });
    KJ_IF_MAYBE (exception, failure) {
      takeOut(core, link, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    return link;
  }

  void detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const final {
    if (core.catalog.link(old.id) == nullptr) refuse("link ", old.id, " does not exist");
    LinkRow link = old;
    link.state = LinkRow::detaching;
    core.catalog.put(link);
    takeOut(core, link, scope);
  }

  wire::Pin pinOf(const LinkRow& link) const final { return pinAt(wire::Dir::links, link.id); }

 private:
  virtual kj::Maybe<kj::AutoCloseFd> describe(Core& core, const AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                              kj::WaitScope& scope) const = 0;
  // Fills link.target and the kind of the link; returns the perf event, where there is one.

  void takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
    removePin(core, pinOf(link), scope);
    core.catalog.eraseLink(link.id);
  }
};

class TracepointHook final : public TracingHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core& core, const AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope& scope) const override {
    auto place = wish.place.getTracepoint();
    link.target = kj::str(place.getGroup(), '/', place.getName()).cStr();
    wanted.kind = wire::LinkKind::perfEvent;
    wanted.attachType = BPF_PERF_EVENT;
    return core.broker.openTracepoint(place.getGroup(), place.getName()).wait(scope);
  }
};

class RawTracepointHook final : public TracingHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core&, const AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope&) const override {
    auto name = wish.place.getRawTracepoint();
    link.target = name.size() > 0 ? name.cStr() : wish.program.attachTo;
    if (link.target.empty() || link.target.size() >= sizeof wanted.name)
      refuse("raw_tp program ", wish.program.name.c_str(), ": say which tracepoint, its section does not");
    wanted.kind = wire::LinkKind::rawTracepoint;
    memcpy(wanted.name, link.target.data(), link.target.size());
    return nullptr;
  }
};

class TpBtfHook final : public TracingHook {
  kj::Maybe<kj::AutoCloseFd> describe(Core&, const AttachWish& wish, LinkRow& link, wire::CreateLink& wanted,
                                      kj::WaitScope&) const override {
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
