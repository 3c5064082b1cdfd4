#include "frontend/describe.h"

#include <algorithm>
#include <set>

#include <kj/debug.h>
#include <kj/encoding.h>
#include <kj/vector.h>

#include "frontend/arrangement.h"
#include "frontend/chain-change.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/kernel-names.h"
#include "frontend/memory.h"
#include "frontend/named-maps.h"
#include "frontend/overview.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

void describeKnown(uint64_t value, bool known, schema::Known::Builder out) {
  if (known)
    out.setValue(value);
  else
    out.setUnknown("run statistics are off: sysctl kernel.bpf_stats_enabled=1");
}

}  // namespace

void describePairs(const Pairs& pairs, capnp::List<schema::KeyValue>::Builder out) {
  for (size_t i = 0; i < pairs.size(); ++i) {
    out[i].setKey(pairs[i].first.c_str());
    out[i].setValue(pairs[i].second.c_str());
  }
}

void describe(Core& core, const ProgramRow& row, schema::ProgramRecord::Builder out) {
  out.setId(row.id);
  out.setName(row.name.c_str());
  out.setType(static_cast<schema::ProgramType>(row.type));
  out.setAttachTo(row.attachTo.c_str());
  auto globals = out.initGlobals(row.globals.size());
  for (size_t i = 0; i < row.globals.size(); ++i) {
    globals[i].setName(row.globals[i].first.c_str());
    globals[i].setValue(kj::arrayPtr(reinterpret_cast<const kj::byte*>(row.globals[i].second.data()), row.globals[i].second.size()));
  }
  describePairs(row.metadata, out.initMetadata(row.metadata.size()));
  out.setApplication(row.application.c_str());
  out.setGplCompatible(row.gplCompatible);
  out.setPinPath(pathOf(core.runtimeDir(), pinAt(wire::Dir::programs, row.id)));
  out.setMapPinPath(pathOf(core.runtimeDir(), pinAt(wire::Dir::maps, row.id)));
  out.setMapOwner(row.mapOwner);
  KJ_IF_MAYBE (load, core.catalog.load(row.load)) {
    if (!isTaken(*load)) out.setObjectPath(kj::str(core.runtimeDir(), "/programs/", row.id, "/bytecode.o"));
    out.setSourcePath(load->sourcePath.c_str());
    out.setLicense(load->license.c_str());
    out.setUid(load->uid);
    out.setCreatedAt(load->createdAt);
    out.setPersistent(load->persistent);
    out.setNotLoaded(load->missing.c_str());
  }
}

std::vector<const LinkRow*> orderedOn(Core& core, const LinkRow& link) {
  std::vector<Member> members;
  for (auto other : core.catalog.linksOn(link.kind, link.nsid, link.ifindex, link.direction))
    if (other->absence == LinkRow::none)
      KJ_IF_MAYBE (program, core.catalog.program(other->programId)) members.push_back(memberFrom(core, *other, *program));
  std::vector<const LinkRow*> links;
  for (auto& member : orderMembers(std::move(members), orderRulesOf(core)))
    KJ_IF_MAYBE (row, core.catalog.link(member.link)) links.push_back(row);
  return links;
}

int32_t positionOf(Core& core, const LinkRow& link) {
  auto links = orderedOn(core, link);
  auto found = std::ranges::find(links, link.id, &LinkRow::id);
  return found == links.end() ? -1 : found - links.begin();
}

void describe(Core& core, const LinkRow& row, schema::LinkRecord::Builder out) {
  out.setId(row.id);
  out.setProgramId(row.programId);
  out.setKernelLinkId(row.kernelLinkId);
  out.setKind(static_cast<schema::ProgramType>(row.kind));
  if (!isWaiting(row)) out.setPinPath(pathOf(core.runtimeDir(), hookOf(row).hook.pinOf(row)));
  out.setPersistent(isPersistent(core, row));
  out.setWaiting(row.waiting.c_str());
  out.setCreatedAt(row.createdAt);
  describePairs(row.metadata, out.initMetadata(row.metadata.size()));
  KJ_IF_MAYBE (program, core.catalog.program(row.programId)) {
    out.setProgramName(program->name.c_str());
    out.setApplication(program->application.c_str());
    KJ_IF_MAYBE (load, core.catalog.load(program->load))
      if (!load->missing.empty()) out.setWaiting(kj::str("its program is not loaded: ", load->missing.c_str()));
  }
  out.setTarget(row.target.c_str());
  out.setNetnsPath(row.netnsPath.c_str());
  out.setNsid(row.nsid);
  if (row.interface.empty()) return;
  out.setInterface(row.interface.c_str());
  out.setIfindex(row.ifindex);
  out.setDirection(static_cast<schema::Direction>(row.direction));
  out.setPriority(row.priority);
  out.setPosition(isWaiting(row) ? -1 : positionOf(core, row));
  out.setPaused(row.absence == LinkRow::paused);
  KJ_IF_MAYBE (change, core.changes.waitingOn(core, row)) out.setWaitingChange(change->id);
  auto verdicts = out.initProceedOn(row.proceedOnList.size());
  for (size_t i = 0; i < row.proceedOnList.size(); ++i) verdicts.set(i, row.proceedOnList[i]);
  KJ_IF_MAYBE (chain, hookOf(row).hook.chainOf(row))
    KJ_IF_MAYBE (dispatcher, core.catalog.dispatcher(chain->type, row.nsid, row.ifindex)) {
      out.setDispatcherId(dispatcher->programId);
      out.setRevision(dispatcher->revision);
    }
}

void describe(const bpf_prog_info& info, kj::ArrayPtr<const uint32_t> mapIds, bool statsOn, schema::KernelProgram::Builder out) {
  out.setId(info.id);
  out.setType(info.type);
  out.setTypeName(programTypeName(info.type));
  out.setName(kj::heapString(info.name, strnlen(info.name, sizeof info.name)));
  out.setTag(kj::encodeHex(kj::arrayPtr(info.tag, sizeof info.tag)));
  out.setLoadedAt(bootTime() + static_cast<int64_t>(info.load_time));
  out.setUid(info.created_by_uid);
  out.setBtfId(info.btf_id);
  out.setMapIds(mapIds);
  out.setXlatedSize(info.xlated_prog_len);
  out.setJitedSize(info.jited_prog_len);
  out.setVerifiedInstructions(info.verified_insns);
  out.setMemlock(memoryOf(info));
  out.setGplCompatible(info.gpl_compatible);
  bool known = statsOn || info.run_cnt > 0;
  describeKnown(info.run_time_ns, known, out.initRunTime());
  describeKnown(info.run_cnt, known, out.initRunCount());
  describeKnown(info.recursion_misses, known, out.initRecursionMisses());
}

void describe(const Core& core, const bpf_map_info& info, schema::KernelMap::Builder out) {
  out.setId(info.id);
  out.setType(info.type);
  out.setTypeName(mapTypeName(info.type));
  out.setName(kj::heapString(info.name, strnlen(info.name, sizeof info.name)));
  out.setKeySize(info.key_size);
  out.setValueSize(info.value_size);
  out.setMaxEntries(info.max_entries);
  out.setFlags(info.map_flags);
  out.setBtfId(info.btf_id);
  out.setExtra(info.map_extra);
  out.setMemlock(memoryOf(info, core.possibleCpus));
}

void describe(const bpf_link_info& info, schema::KernelLink::Builder out) {
  out.setId(info.id);
  out.setProgramId(info.prog_id);
  out.setType(info.type);
  out.setTypeName(linkTypeName(info.type));
  switch (info.type) {
    case BPF_LINK_TYPE_XDP: out.setIfindex(info.xdp.ifindex); break;
    case BPF_LINK_TYPE_TCX:
      out.setIfindex(info.tcx.ifindex);
      out.setAttachType(info.tcx.attach_type);
      break;
    case BPF_LINK_TYPE_TRACING:
      out.setAttachType(info.tracing.attach_type);
      out.setTargetProgramId(info.tracing.target_obj_id);
      out.setTargetBtfId(info.tracing.target_btf_id);
      break;
    default: break;
  }
}

namespace {

bool isPublic(const MapRow& map) { return !map.internal && isPinName(map.name.c_str()); }

// With what the kernel said about it and all maps of its load.
void fill(Core& core, const ProgramRow& row, const LoadRow& load, const WorkerReply& program, kj::ArrayPtr<const WorkerReply> maps,
          kj::Function<bool(size_t)> pinned, schema::ProgramDetails::Builder out) {
  describe(core, row, out.initRecord());
  out.setKernelSeen(program.result >= 0);
  auto mapIds = mapIdsOf(program);
  if (program.result >= 0)
    describe(infoOf<bpf_prog_info>(program), mapIds, statisticsEnabled(wire::fd::frontend::statsEnabled), out.initKernel());

  std::vector<size_t> there;  // of the load's maps
  for (size_t i = 0; i < maps.size(); ++i)
    if (maps[i].result >= 0) there.push_back(i);
  auto mapsOut = out.initMaps(there.size());
  for (size_t i = 0; i < there.size(); ++i) {
    const MapRow& map = load.maps[there[i]];
    describe(core, infoOf<bpf_map_info>(maps[there[i]]), mapsOut[i].initKernel());
    mapsOut[i].setUnused(std::find(mapIds.begin(), mapIds.end(), map.id) == mapIds.end());
    mapsOut[i].setName(map.name.c_str());
    mapsOut[i].getKernel().setFrozen(map.name.starts_with(".rodata"));
    bool present = pinned(there[i]);
    mapsOut[i].setPresent(present);
    mapsOut[i].setPinnedByName(map.named);
    auto sharers = sharersOf(core.catalog, load, map);
    mapsOut[i].setSharedWith(kj::arrayPtr(sharers.data(), sharers.size()));
    if (present) mapsOut[i].setPinPath(pathOf(core.runtimeDir(), pinAt(wire::Dir::maps, row.id, 0, 0, map.name.c_str())));
  }
  auto owned = core.catalog.mapUsersOf(row.id);
  std::set<uint32_t> users(owned.begin(), owned.end());
  for (auto& map : load.maps)
    for (uint32_t sharer : sharersOf(core.catalog, load, map)) users.insert(sharer);
  std::vector<uint32_t> all(users.begin(), users.end());
  out.setMapUsedBy(kj::arrayPtr(all.data(), all.size()));
}

}  // namespace

void describeProgram(Core& core, uint32_t id, schema::ProgramDetails::Builder out, kj::WaitScope& scope) {
  auto find = [&]() -> const ProgramRow& {
    KJ_IF_MAYBE (row, core.catalog.program(id)) return *row;
    requireNotReplaced(core, id);
    refuse("record not found");
  };
  const ProgramRow row = find();
  const LoadRow load = KJ_ASSERT_NONNULL(core.catalog.load(row.load));
  auto place = core.workers.host(scope);
  auto inspect = [&](const wire::Pin& pin) { return place->worker.call(wire::Op::inspect, pin); };
  auto program = inspect(loadedProgram(row.load, row.index));
  std::vector<kj::Promise<WorkerReply>> maps, pins;
  for (const MapRow& map : load.maps) {
    maps.push_back(inspect(loadedMap(row.load, map.index)));
    pins.push_back(isPublic(map) ? inspect(pinAt(wire::Dir::maps, id, 0, 0, map.name.c_str()))
                                 : kj::Promise<WorkerReply>(WorkerReply{-ENOENT, nullptr, nullptr}));
  }
  auto seen = program.wait(scope);
  kj::Vector<WorkerReply> infos;
  for (auto& map : maps) infos.add(map.wait(scope));
  auto pinned = [&](size_t i) { return pins[i].wait(scope).result >= 0; };
  fill(core, row, load, seen, infos, pinned, out);

  std::vector<uint32_t> links;
  for (auto link : core.catalog.linksOf(id)) links.push_back(link->id);
  auto linksOut = out.initLinks(links.size());
  for (size_t i = 0; i < links.size(); ++i) describeLink(core, links[i], linksOut[i], scope);
}

void describeLoaded(Core& core, const LoadOutcome& outcome, size_t index, schema::ProgramDetails::Builder out) {
  const ProgramRow& row = KJ_REQUIRE_NONNULL(core.catalog.program(outcome.programs[index]), "unloaded already");
  const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(row.load));
  auto published = [&](size_t i) { return isPublic(load.maps[i]); };
  fill(core, row, load, outcome.seenPrograms[index], outcome.seenMaps, published, out);
}

void describeLink(Core& core, uint32_t id, schema::LinkDetails::Builder out, kj::WaitScope& scope) {
  auto find = [&]() -> const LinkRow& {
    KJ_IF_MAYBE (row, core.catalog.link(id)) return *row;
    refuse("not found");
  };
  const LinkRow row = find();
  const Hook& hook = hookOf(row).hook;
  describe(core, row, out.initRecord());
  if (isWaiting(row)) return;
  auto place = core.workers.host(scope);
  wire::Pin pin = hook.pinOf(row), kernelPin = pin;
  bool unlinked = false;  // there is no link: what the kernel has is the dispatcher's program, in a filter or by netlink
  KJ_IF_MAYBE (chain, hook.chainOf(row)) {
    kernelPin = dispatcherLinkPin(*chain);
    KJ_IF_MAYBE (dispatcher, core.catalog.dispatcher(chain->type, row.nsid, row.ifindex))
      unlinked = dispatcher->filterHandle != 0 || dispatcher->adopted != 0;
  }
  auto there = place->worker.call(wire::Op::inspect, pin);
  auto answer = place->worker.call(wire::Op::inspect, kernelPin);
  bool present = there.wait(scope).result >= 0;
  auto seen = answer.wait(scope);
  out.setPinPresent(present);
  out.setKernelSeen(unlinked ? present : seen.result >= 0);
  if (seen.result >= 0) describe(infoOf<bpf_link_info>(seen), out.initKernel());
}

}  // namespace bpfman
