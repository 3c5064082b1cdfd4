#include "frontend/persistence.h"

#include <unistd.h>

#include <map>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/hook.h"
#include "frontend/kept-bytecode.h"
#include "frontend/netlink.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

using schema::ProgramType;

kj::String whereIs(const LinkRow& link) { return kj::str(link.interface.empty() ? link.target.c_str() : link.interface.c_str()); }

// What nobody asked for has nobody as its caller: it is ourselves.
void note(Core& core, kj::StringPtr action, std::vector<uint32_t> programs, std::vector<uint32_t> links, kj::StringPtr what,
          kj::StringPtr result) {
  AuditLine line{action, kj::mv(programs), kj::mv(links), {}, what.cStr(), {}, result.cStr()};
  core.audit.write(getuid(), getpid(), "", line);
}

LinkRow waitingRow(LinkRow link, kj::StringPtr why) {
  link.state = LinkRow::attached;
  link.ifindex = link.kernelLinkId = 0;
  link.waiting = why.cStr();
  return link;
}

bool onInterface(const LinkRow& link) { return !link.interface.empty(); }

// Runs `body` and says why it failed; "": it did not.
template <typename Body>
std::string failureOf(Core& core, kj::WaitScope& scope, Body&& body) {
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { untilAWorkerLives(core.workers, scope, body); }))
    return exception->getDescription().cStr();
  return "";
}

}  // namespace

kj::String notThere(const LinkRow& link) { return kj::str("interface ", link.interface.c_str(), " is not there"); }

kj::String whyNotAgain(const LinkRow& link) {
  auto type = static_cast<ProgramType>(link.kind);
  TargetKind target = bpfman::targetOf(type);
  if (!link.hostNetns)
    return kj::str("it is in another network namespace than the host's, and bpfman opens none by its path (", link.netnsPath.c_str(), ")");
  if (target == TargetKind::binary) return kj::str("bpfman opens no binary by its path");
  if (target == TargetKind::cgroup && !link.target.starts_with('/')) return kj::str("its cgroup has no path that bpfman sees");
  if (target == TargetKind::map || link.target.starts_with("map ")) return kj::str("its map has another number then");
  if (type == ProgramType::PERF_EVENT && link.target.find("in process ") != link.target.npos) return kj::str("its process is gone then");
  return kj::String();
}

bool isPersistent(Core& core, const LinkRow& link) {
  KJ_IF_MAYBE (program, core.catalog.program(link.programId))
    KJ_IF_MAYBE (load, core.catalog.load(program->load)) return load->persistent && whyNotAgain(link).size() == 0;
  return false;
}

// ---- what is gone ----

void letWait(Core& core, uint32_t number) {
  LoadRow load = KJ_ASSERT_NONNULL(core.catalog.load(number));
  uint32_t placeholder = FIRST_PLACEHOLDER;
  if (!core.catalog.programs().empty()) placeholder = kj::max(placeholder, core.catalog.programs().rbegin()->first + 1);
  std::vector<uint32_t> before;
  std::vector<ProgramRow> programs;
  std::vector<LinkRow> links;
  for (auto program : core.catalog.programsOf(number)) {
    for (auto link : core.catalog.linksOf(program->id)) {
      links.push_back(*link);
      links.back().programId = placeholder;
    }
    before.push_back(program->id);
    programs.push_back(*program);
    programs.back().id = placeholder++;
  }
  load.state = LoadRow::loaded;
  load.missing = "not yet loaded again";
  load.purpose.clear();  // whom it replaced has no number any more
  load.maps.clear();
  core.catalog.transaction([&]() {
    core.catalog.renumber(load, before, programs);
    for (auto& link : links) {
      bool wanted = link.state == LinkRow::attached || (link.state == LinkRow::attaching && !link.waiting.empty());
      if (wanted && whyNotAgain(link).size() == 0)
        core.catalog.put(waitingRow(link, "not yet attached again"));
      else
        core.catalog.eraseLink(link.id);
    }
  });
  for (auto& link : links)
    if (auto why = whyNotAgain(link); why.size() > 0)
      spdlog::warn("link {} on {} is forgotten, though its program is persistent: {}", link.id, whereIs(link).cStr(), why.cStr());
}

void lose(Core& core, const LinkRow& link, kj::StringPtr why) {
  bool wanted = link.state == LinkRow::attached && isPersistent(core, link);
  if (wanted)
    core.catalog.put(waitingRow(link, why));
  else
    core.catalog.eraseLink(link.id);
  auto what = kj::str(whereIs(link), ": ", why, wanted ? "; it waits" : "; it is forgotten");
  spdlog::info("link {} of program {} on {}", link.id, link.programId, what.cStr());
  note(core, "lose", {link.programId}, {link.id}, what, "ok");
}

void takeBack(Core& core, const LinkRow& link) {
  if (link.state == LinkRow::attaching && !link.waiting.empty())
    core.catalog.put(waitingRow(link, link.waiting.c_str()));
  else
    core.catalog.eraseLink(link.id);
}

// ---- what comes back ----

namespace {

LoadWish wishOf(Core& core, const LoadRow& load) {
  LoadWish wish;
  bool tcOnly = true;
  for (auto program : core.catalog.programsOf(load.load)) {
    auto type = static_cast<ProgramType>(program->type);
    auto& row = KJ_REQUIRE_NONNULL(rowOf(type), "a program of an unknown type", program->type);
    wish.programs.push_back({program->type, program->name, program->attachTo, row.name.cStr(), row.kernelType, row.expectedAttachType});
    wish.instead.push_back(program->id);
    wish.tcExtension |= program->extension && type == ProgramType::TC;
    tcOnly &= type == ProgramType::TC;
    wish.globals = program->globals;  // all of a load have the same
    wish.metadata = program->metadata;
    wish.application = program->application;
    wish.mapOwner = program->mapOwner;
  }
  if (tcOnly && !wish.tcExtension) wish.engine = "tailcall";  // by which its chain is kept
  wish.mapSizes = load.mapSizes;
  wish.signatures = load.signatures;
  wish.sourcePath = load.sourcePath;
  wish.uid = load.uid;
  wish.request = load.request;
  wish.maxMapBytes = core.options.ceiling.maxMapBytes;  // his own limit was met when it was loaded first
  wish.persistent = true;
  wish.again = load.load;
  return wish;
}

// Programs whose map owner was unloaded, or is not persistent, shared its maps with each other: the first of them makes them now.
void chooseMapOwners(Core& core) {
  std::map<uint32_t, ProgramRow> heirs;  // by the id of the owner that is gone
  std::vector<ProgramRow> changed;
  for (auto& [id, load] : core.catalog.loads()) {
    if (load.missing.empty()) continue;
    for (auto program : core.catalog.programsOf(id)) {
      if (program->mapOwner == 0 || core.catalog.program(program->mapOwner) != nullptr) continue;
      auto& heir = heirs.emplace(program->mapOwner, *program).first->second;
      ProgramRow row = *program;
      row.mapOwner = heir.load == id ? 0 : heir.id;
      changed.push_back(row);
    }
  }
  core.catalog.transaction([&]() {
    for (auto& row : changed) core.catalog.put(row);
  });
}

void loadOne(Core& core, uint32_t number, kj::WaitScope& scope) {
  std::vector<uint32_t> before, after;
  for (auto program : core.catalog.programsOf(number)) before.push_back(program->id);
  std::vector<Locks::Turn> turns;
  for (uint32_t id : before) turns.push_back(core.locks.take(programLock(id), scope));
  if (core.catalog.programsOf(number).empty()) return;  // unloaded meanwhile
  LoadRow load = KJ_ASSERT_NONNULL(core.catalog.load(number));
  std::string reason = failureOf(core, scope, [&]() {
    LoadRow row = KJ_ASSERT_NONNULL(core.catalog.load(number));
    if (row.state == LoadRow::loading) core.loads.undo(number, scope);  // an earlier try could not be undone
    LoadWish wish = wishOf(core, row);
    SealedObject object = KeptBytecode::read(number, KeptBytecode::object);
    kj::Maybe<SealedObject> types;
    if (row.otherTypes) wish.kernelTypes = types.emplace(KeptBytecode::read(number, KeptBytecode::types)).fd();
    Cancellation never;
    LoadOutcome outcome = core.engines.load(core.loads, wish, object, never, scope);
    KJ_IF_MAYBE (refused, outcome.refused) refuse(refused->reason.c_str());
  });
  for (auto program : core.catalog.programsOf(number)) after.push_back(program->id);
  if (reason.empty()) {
    spdlog::info("{}: loaded again, as {}", load.sourcePath, kj::strArray(after, ", ").cStr());
  } else {
    spdlog::error("{}: a persistent program can't be loaded again: {}", load.sourcePath, reason);
    load = KJ_ASSERT_NONNULL(core.catalog.load(number));
    load.missing = reason;
    core.catalog.put(load);
  }
  note(core, "load again", after, {}, load.sourcePath.c_str(), reason.empty() ? "ok" : reason.c_str());
}

// The link's place as its attach named it, but for what was changed since.
void describePlace(const LinkRow& link, capnp::MallocMessageBuilder& message) {
  if (link.place.empty()) refuse("an older bpfman attached it, which did not keep where: attach it again");
  auto words = kj::heapArray<capnp::word>(link.place.size() / sizeof(capnp::word));
  memcpy(words.begin(), link.place.data(), words.asBytes().size());
  message.setRoot(capnp::FlatArrayMessageReader(words).getRoot<schema::Place>());
  auto place = message.getRoot<schema::Place>();
  auto chain = [&](auto group) {
    group.setInterface(link.interface.c_str());  // it may have another name now
    group.setPriority(link.priority);
    group.setProceedOn(kj::arrayPtr(link.proceedOnList.data(), link.proceedOnList.size()));
  };
  if (place.isXdp()) chain(place.getXdp());
  if (place.isTc()) chain(place.getTc());
  if (place.isTcx()) place.getTcx().setInterface(link.interface.c_str());
  if (place.isNetkit()) place.getNetkit().setInterface(link.interface.c_str());
}

void attachOne(Core& core, const LinkRow& link, kj::WaitScope& scope) {
  capnp::MallocMessageBuilder message;
  describePlace(link, message);
  Rights rights = core.policy.rightsOf({0, {}, 0});  // whoever attached it had the right to
  kj::AutoCloseFd target;
  if (targetOf(static_cast<ProgramType>(link.kind)) == TargetKind::cgroup) target = core.intake.cgroupAt(link.target.c_str());
  AttachWish wish{KJ_ASSERT_NONNULL(core.catalog.program(link.programId)),
                  message.getRoot<schema::Place>().asReader(),
                  nullptr,
                  kj::mv(target),
                  nullptr,
                  link.metadata,
                  rights,
                  link.uid,
                  link.request,
                  {},
                  {},
                  link};
  hookOf(link).hook.attach(core, wish, scope);
}

std::string tryToAttach(Core& core, uint32_t id, kj::WaitScope& scope) {
  return failureOf(core, scope, [&]() {
    LinkRow link = KJ_ASSERT_NONNULL(core.catalog.link(id));
    if (link.waiting.empty()) return;
    if (!isWaiting(link)) hookOf(link).hook.detach(core, link, scope);  // an earlier try could not be undone
    link = KJ_ASSERT_NONNULL(core.catalog.link(id));
    auto host = core.workers.host(scope);
    if (onInterface(link) && Netlink(host->netlink).interfaceNamed(link.interface.c_str()) == nullptr) refuse(notThere(link));
    attachOne(core, link, scope);
  });
}

void attachIfThere(Core& core, uint32_t id, kj::WaitScope& scope) {
  uint32_t program = 0;
  KJ_IF_MAYBE (row, core.catalog.link(id)) program = row->programId;
  auto turn = core.locks.take(programLock(program), scope);
  LinkRow before;
  KJ_IF_MAYBE (row, core.catalog.link(id)) before = *row;
  if (before.programId != program || program >= FIRST_PLACEHOLDER || before.waiting.empty()) return;
  std::string reason = tryToAttach(core, id, scope);
  auto target = whereIs(before);
  if (reason.empty()) {
    spdlog::info("link {} of program {}: attached again to {}", id, program, target.cStr());
    return note(core, "attach again", {program}, {id}, target, "ok");
  }
  if (reason == before.waiting) return;
  if (!onInterface(before) || reason != notThere(before).cStr()) {
    spdlog::error("link {} on {} can't be attached again: {}", id, target.cStr(), reason);
    note(core, "attach again", {program}, {id}, target, reason.c_str());
  }
  KJ_IF_MAYBE (row, core.catalog.link(id))
    if (isWaiting(*row)) core.catalog.put(waitingRow(*row, reason.c_str()));
}

}  // namespace

void loadAgain(Core& core, kj::WaitScope& scope) {
  chooseMapOwners(core);
  std::vector<uint32_t> loads;  // ascending: owners of maps before those that use them
  for (auto& [id, row] : core.catalog.loads())
    if (!row.missing.empty()) loads.push_back(id);
  for (uint32_t load : loads) loadOne(core, load, scope);
}

void attachWaiting(Core& core, kj::WaitScope& scope) {
  std::vector<uint32_t> ids;
  for (auto& [id, row] : core.catalog.links())
    if (!row.waiting.empty()) ids.push_back(id);
  for (uint32_t id : ids) attachIfThere(core, id, scope);
}

}  // namespace bpfman
