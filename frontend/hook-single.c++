#include "frontend/hook-single.h"

#include <cerrno>

#include <kj/debug.h>

#include "frontend/persistence.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr kj::StringPtr TRACEPOINTS = "/sys/kernel/tracing/events/"_kj;

// What the kernel says where it has no such hook, or has it without links.
bool isMissing(int64_t result) { return result == -ENOENT || result == -EINVAL || result == -EOPNOTSUPP || result == -ESRCH; }

}  // namespace

LinkRow SingleHook::attach(Core& core, AttachWish& wish, kj::WaitScope& scope) const {
  LinkRow link = newLink(core, wish);
  if (wish.before.size() + wish.after.size() > 0 && rowOf(wish).place != schema::Place::CGROUP)
    refuse("there is no order among ", rowOf(wish).name, " programs; xdp, tc, tcx, netkit and those of a cgroup have one");
  link.nsid = core.workers.hostNamespace();
  SingleLink made = describe(core, wish, link, scope);
  made.wanted.program = loadedProgram(wish.program.load, wish.program.index);
  made.wanted.to = pinOf(link);
  core.catalog.put(link);  // the journal: state attaching
  auto failure = kj::runCatchingExceptions([&]() {
    auto place = core.workers.in(wish.netns, scope);
    int descriptor = -1;
    KJ_IF_MAYBE (t, made.target) descriptor = t->get();
    auto with = made.target == nullptr ? nullptr : kj::arrayPtr(const_cast<const int*>(&descriptor), 1);
    auto tail = kj::arrayPtr(reinterpret_cast<const kj::byte*>(made.tail.data()), made.tail.size());
    auto reply = place->worker.call(wire::Op::createLink, made.wanted, tail, with).wait(scope);
    if (isMissing(reply.result)) {
      auto needs = rowOf(wish).needs;
      refuse("attach to ", link.target.c_str(), ": this kernel has no such target, or the program does not fit it (",
             kernelReason(reply.result), ")", needs.size() > 0 ? "; " : "", needs.size() > 0 ? rowOf(wish).name : "",
             needs.size() > 0 ? " needs " : "", needs);
    }
    if (reply.result == -EEXIST)
      refuse("program ", link.programId, " is already attached to ", link.target.c_str(), "; the kernel allows it once: detach it first");
    if (reply.result == -EACCES && rowOf(wish).place == schema::Place::TRACEPOINT)
      refuse("attach to ", link.target.c_str(), ": program ", link.programId,
             " reads more of its context than this tracepoint has: it is for "
             "another one, or for another kernel's; ",
             TRACEPOINTS, link.target.c_str(), "/format has the fields");
    if (reply.result == -EBUSY)
      refuse("attach to ", link.target.c_str(), ": another program has this place, and the kernel allows one; 'bpfman overview' shows who");
    link.kernelLinkId = requireOk(reply, kj::str("attach to ", link.target.c_str()));
    confirm(wish);
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

wire::Pin SingleHook::mapTarget(Core& core, const AttachWish& wish, uint32_t id, MapRight right, LinkRow& link) {
  for (auto& [number, load] : core.catalog.loads())
    for (const MapRow& map : load.maps) {
      if (map.id != id || load.own) continue;
      wish.rights.requireMap(right, load.uid);
      link.target = kj::str("map ", id, " (", map.name.c_str(), ')').cStr();
      return loadedMap(number, map.index);
    }
  refuse("map ", id, " does not belong to a program that bpfman loaded; 'bpfman program get ID' shows a program's maps");
}

void SingleHook::takeOut(Core& core, const LinkRow& link, kj::WaitScope& scope) const {
  removePin(core, pinOf(link), scope);
  takeBack(core, link);
}

}  // namespace bpfman
