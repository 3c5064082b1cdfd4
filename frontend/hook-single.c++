#include "frontend/hook-single.h"

#include <cerrno>

#include <kj/debug.h>

#include "frontend/persistence.h"
#include "frontend/refuse.h"

namespace bpfman {

LinkRow SingleHook::attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  LinkRow link = newLink(core, wish);
  link.nsid = core.workers.hostNamespace();
  wire::CreateLink wanted{};
  kj::Maybe<kj::AutoCloseFd> target = describe(core, wish, link, wanted, scope);
  wanted.program = loadedProgram(wish.program.load, wish.program.index);
  wanted.to = pinOf(link);
  core.catalog.put(link);  // the journal: state attaching
  auto failure = kj::runCatchingExceptions([&]() {
    auto host = core.workers.host(scope);
    int descriptor = -1;
    KJ_IF_MAYBE (t, target) descriptor = t->get();
    auto with = target == nullptr ? nullptr : kj::arrayPtr(const_cast<const int*>(&descriptor), 1);
    auto reply = host->worker.call(wire::Op::createLink, wanted, nullptr, with).wait(scope);
    if (reply.result == -ENOENT || reply.result == -EINVAL)
      refuse("attach to ", link.target.c_str(), ": this kernel has no such target, or the program does not fit it (",
             kernelReason(reply.result), ")");
    if (reply.result == -EEXIST)
      refuse("program ", link.programId, " is already attached to ", link.target.c_str(), "; the kernel allows it once: detach it first");
    link.kernelLinkId = requireOk(reply, kj::str("attach to ", link.target.c_str()));
    link.state = LinkRow::attached;
    link.waiting.clear();
    core.catalog.put(link);
  });
  KJ_IF_MAYBE (exception, failure) {
    KJ_IF_MAYBE (waiting, wish.again) link.state = LinkRow::attaching, link.waiting = waiting->waiting;
    takeOut(core, link, scope);
    kj::throwFatalException(kj::mv(*exception));
  }
  return link;
}

void SingleHook::detach(Core& core, const LinkRow& old, kj::WaitScope& scope) const {
  if (core.catalog.link(old.id) == nullptr) refuse("link ", old.id, " does not exist");
  LinkRow link = old;
  beginDetach(core, link);
  takeOut(core, link, scope);
}

void SingleHook::takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  removePin(core, pinOf(link), scope);
  takeBack(core, link);
}

}  // namespace bpfman
