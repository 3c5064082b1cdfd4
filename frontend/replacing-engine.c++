#include "frontend/replacing-engine.h"

#include <linux/bpf.h>

#include <algorithm>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr const char* DISPATCHER = "dispatcher:";  // begins the purpose of a dispatcher's load

uint32_t functionId(const LoadOutcome& dispatcher, const std::string& name) {
  auto found = dispatcher.functions.find(name);
  KJ_REQUIRE(found != dispatcher.functions.end(), "the dispatcher has no such function", name.c_str());
  return found->second;
}

}  // namespace

kj::Maybe<DispatcherRow> ReplacingEngine::rowOf(const ChainHook& hook) const {
  KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) return DispatcherRow(*row);
  return nullptr;
}

std::string ReplacingEngine::purposeOf(const ChainHook& hook) const {
  auto& kind = *std::ranges::find_if(kinds, [&](auto& each) { return hook.type == each.type; });
  return kj::str(DISPATCHER, kind.word, ':', hook.nsid, ':', hook.ifindex).cStr();
}

// What was swapped in and could not be written down, as the disk was full, is ours. Whoever took ours off wanted just that: then its
// members are gone.
Present ReplacingEngine::alone(const ChainHook& hook, const std::vector<OursInChain>& ours, Present present) {
  KJ_IF_MAYBE (row, rowOf(hook)) {
    KJ_IF_MAYBE (program, catalog.program(present.program))
      if (program->id != row->programId && KJ_ASSERT_NONNULL(catalog.load(program->load)).purpose == purposeOf(hook)) {
        row->load = program->load, row->programId = program->id;
        catalog.put(*row);
      }
    if (present.program != row->programId) present.program = 0;
    if (present.missing || present.program != 0) return present;
    for (auto& mine : ours)
      if (mine.attached) present.gone.push_back(mine.link);
  }
  return present;
}

// Tries what members need: loads the dispatcher, and itself once more as the replacement of one of its own functions.
bool ReplacingEngine::start(kj::WaitScope& scope) {
  std::string purpose = kj::str(dispatcher.family, "-target").cStr();  // what members are verified against, at load
  std::string trial = kj::str(dispatcher.family, "-try").cStr();
  auto attempt = [&]() {
    for (auto& old : {purpose, trial}) removeLoads(old, scope);
    std::vector<ChainMember> all(capacity());  // the kernel drops positions that are not in use
    auto base = loadDispatcher(imageFor(all, {}), purpose, nullptr, scope);
    target = Extension{base.load, functionId(base, "prog0"), dispatcher.family};
    auto tried = loadDispatcher(imageFor({}, {}), trial, target, scope);
    loads.undo(tried.load, scope);
    requireMore(scope);
  };
  auto failure = kj::runCatchingExceptions([&]() { untilAWorkerLives(workers, scope, attempt); });
  KJ_IF_MAYBE (exception, failure) {
    target = nullptr;
    removeLoads(purpose, scope);
    kj::StringPtr text = exception->getDescription();
    size_t line = text.findFirst('\n').orDefault(text.size());  // without the verifier's log
    why = kj::str("no freplace here: ", text.slice(0, line));
    return false;
  }
  why = kj::str("this kernel lets programs replace functions of others (freplace)");
  return true;
}

Applied ReplacingEngine::apply(const ChainHook& hook, Present& present, const ChainWish& wish, kj::Maybe<Place&> place,
                               kj::WaitScope& scope) {
  auto& members = wish.members;
  auto old = rowOf(hook);
  bool ours = wish.stays || std::ranges::any_of(members, [](auto& member) { return member.link != 0; });
  KJ_IF_MAYBE (row, old)
    if (present.incomplete && row->programId == present.program) refuse("interface ", hook.interface.c_str(), ' ', present.locked);
  if ((members.empty() && !wish.stays) || present.missing) {
    takeAway(hook, present, old, scope);
    return {};
  }
  requireTakes(hook, present);
  if (isUnchanged(hook, present, members)) {
    if (ours) return {kj::mv(old), linksOf(hook, present.program, members.size(), scope)};
    KJ_IF_MAYBE (row, old)
      if (row->load != 0) loads.undo(row->load, scope);
    return {};
  }
  Applied applied = build(hook, present, members, scope);
  DispatcherRow& made = KJ_ASSERT_NONNULL(applied.row);
  bool taken = old == nullptr && present.program != 0;  // another tool's: whoever starts next knows what was there
  if (taken) {
    DispatcherRow theirs = newRow(hook);
    theirs.programId = present.program;
    catalog.put(theirs);
  }
  auto failure = kj::runCatchingExceptions([&]() { swap(hook, present, old, made, place, scope); });
  KJ_IF_MAYBE (exception, failure) {
    uint32_t now = 0;
    untilAWorkerLives(workers, scope, [&]() { now = runs(hook, made, scope); });
    if (now != made.programId) {  // a worker that died may have done it
      if (taken) catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
      dismantle(hook, made.programId, scope);
      loads.undo(made.load, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
  }
  KJ_IF_MAYBE (row, old) made.revision = row->revision + 1, made.parked = row->parked;
  if (ours) catalog.put(made);  // before the old one goes: whoever starts next knows which runs
  uint32_t load = made.load;
  untilAWorkerLives(workers, scope, [&]() {  // the change has happened: a death now must not make it a failure
    if (present.program != 0) dismantle(hook, present.program, scope);
    KJ_IF_MAYBE (row, old) {
      if (present.program == 0) dismantle(hook, row->programId, scope);  // somebody had taken it off
      if (row->load != 0) loads.undo(row->load, scope);
    }
    if (!ours) loads.undo(load, scope);  // theirs alone: pins and interface hold it, as if they had made it
  });
  if (!ours) applied.row = nullptr;
  return applied;
}

// A death between the swap and the catalogue leaves the catalogue behind: what runs on the interface decides.
void ReplacingEngine::recover(kj::WaitScope& scope) {
  for (auto& kind : kinds) {
    std::string begin = kj::str(DISPATCHER, kind.word, ':').cStr();
    std::vector<LoadRow> all;
    for (auto& [id, load] : catalog.loads())
      if (load.own && load.state == LoadRow::loaded && load.purpose.rfind(begin, 0) == 0) all.push_back(load);
    for (auto& load : all) {
      auto programs = catalog.programsOf(load.load);
      ChainHook hook{kind.type, 0, 0, "", "", false};
      if (programs.empty() || sscanf(load.purpose.c_str() + begin.size(), "%lu:%u", &hook.nsid, &hook.ifindex) != 2) continue;
      hook.host = workers.isHost(hook.nsid);
      if (hook.host)
        KJ_IF_MAYBE (interface, Netlink(workers.host(scope)->netlink).interfaceAt(hook.ifindex)) hook.interface = interface->name;
      recoverOne(hook, load, programs[0]->id, scope);
    }
  }
}

LoadOutcome ReplacingEngine::loadDispatcher(const Image& image, const std::string& purpose, kj::Maybe<Extension> extension,
                                            kj::WaitScope& scope) {
  LoadWish wish;
  wish.purpose = purpose;
  wish.maxMapBytes = 1 << 20;
  wish.listFunctions = true;
  wish.extension = extension;
  wish.globals.emplace_back("conf", image.configuration);
  wish.programs.push_back({0, dispatcher.function, "", dispatcher.family, dispatcher.type, dispatcher.attachType, image.flags});
  LoadOutcome outcome = loads.loadOwn(wish, kj::arrayPtr(image.object.data(), image.object.size()), scope);
  KJ_IF_MAYBE (refused, outcome.refused)
    refuse("this kernel refuses the ", dispatcher.family, " dispatcher: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());
  return outcome;
}

void ReplacingEngine::removeLoads(const std::string& purpose, kj::WaitScope& scope) {
  std::vector<uint32_t> old;
  for (auto& [id, row] : catalog.loads())
    if (row.own && row.purpose == purpose) old.push_back(id);
  for (uint32_t load : old) loads.undo(load, scope);
}

DispatcherRow ReplacingEngine::newRow(const ChainHook& hook) const {
  DispatcherRow row;
  row.type = hook.type, row.nsid = hook.nsid, row.ifindex = hook.ifindex, row.revision = 1, row.engine = name().cStr();
  row.netnsPath = hook.netnsPath, row.interface = hook.interface, row.hostNetns = hook.host;
  return row;
}

// Members are linked and pinned before anybody sees the dispatcher: none can come loose when we die.
Applied ReplacingEngine::build(const ChainHook& hook, const Present& present, std::span<const ChainMember> members, kj::WaitScope& scope) {
  LoadOutcome outcome = loadDispatcher(imageFor(members, present), purposeOf(hook), nullptr, scope);
  DispatcherRow row = newRow(hook);
  row.load = outcome.load, row.programId = outcome.programs[0];
  std::vector<uint32_t> links;
  auto failure = kj::runCatchingExceptions([&]() {
    auto place = workers.host(scope);
    std::vector<kj::Promise<WorkerReply>> pinned, linked;
    for (uint32_t i = 0; i < members.size(); ++i) {
      KJ_IF_MAYBE (pin, programPin(hook, row.programId, i))
        pinned.push_back(place->worker.call(wire::Op::publish, wire::Publish{members[i].pin(), *pin}));
      wire::CreateLink link{};
      link.program = members[i].pin();
      link.to = linkPin(hook, row.programId, i);
      link.kind = wire::LinkKind::freplace;
      link.target = loadedProgram(row.load, 0);
      link.relative = functionId(outcome, functionFor(members, i).cStr());
      linked.push_back(place->worker.call(wire::Op::createLink, link));
    }
    for (auto& pin : pinned) requireOk(pin.wait(scope), "pin a member of the dispatcher");
    for (auto& link : linked) links.push_back(requireOk(link.wait(scope), "put a member into the dispatcher"));
  });
  KJ_IF_MAYBE (exception, failure) {
    dismantle(hook, row.programId, scope);
    loads.undo(row.load, scope);
    kj::throwFatalException(kj::mv(*exception));
  }
  return {kj::mv(row), std::move(links)};
}

// Of a chain that is as it is wanted: whoever made it may have died before he wrote them down.
std::vector<uint32_t> ReplacingEngine::linksOf(const ChainHook& hook, uint32_t program, size_t count, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  std::vector<uint32_t> links;
  for (uint32_t i = 0; i < count; ++i) {
    auto reply = host->worker.call(wire::Op::inspect, linkPin(hook, program, i)).wait(scope);
    links.push_back(reply.result < 0 ? 0 : infoOf<bpf_link_info>(reply).id);
  }
  return links;
}

// The last member left. An interface that is gone took its program along.
void ReplacingEngine::takeAway(const ChainHook& hook, Present& present, kj::Maybe<DispatcherRow>& old, kj::WaitScope& scope) {
  KJ_IF_MAYBE (row, old) {
    detach(hook, present, *row, scope);
    dismantle(hook, row->programId, scope);
    if (row->load != 0) loads.undo(row->load, scope);
  }
}

void ReplacingEngine::dismantle(const ChainHook& hook, uint32_t program, kj::WaitScope& scope) {
  auto host = workers.host(scope);
  std::vector<kj::Promise<WorkerReply>> replies;
  for (uint32_t i = 0; i < capacity(); ++i) {
    replies.push_back(host->worker.call(wire::Op::remove, linkPin(hook, program, i)));
    KJ_IF_MAYBE (pin, programPin(hook, program, i)) replies.push_back(host->worker.call(wire::Op::remove, *pin));
  }
  for (auto& reply : replies) requireOk(reply.wait(scope), "remove a dispatcher's pins");
}

void ReplacingEngine::recoverOne(const ChainHook& hook, const LoadRow& load, uint32_t program, kj::WaitScope& scope) {
  auto known = rowOf(hook);
  KJ_IF_MAYBE (row, known)
    if (row->load == load.load) return;
  Present present = running(hook, scope);
  if (present.program == program) {
    KJ_IF_MAYBE (row, known) {
      spdlog::info("the dispatcher on {} was swapped when bpfman ended: the new one is kept", row->interface);
      uint32_t previous = row->programId;
      row->load = load.load;
      row->programId = program;
      ++row->revision;
      catalog.put(*row);
      dismantle(hook, previous, scope);
      return;
    }
    DispatcherRow mine = newRow(hook);  // a first one, of which nothing was written down
    mine.load = load.load, mine.programId = program;
    if (mayHaveOthers(hook, scope)) return catalog.put(mine);  // they are carried over when ours is taken back
    detach(hook, present, mine, scope);
  }
  dismantle(hook, program, scope);  // its load goes with the others that nobody uses
}

}  // namespace bpfman
