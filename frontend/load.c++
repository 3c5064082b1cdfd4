#include "frontend/load.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>

#include <kj/debug.h>
#include <kj/encoding.h>
#include <spdlog/spdlog.h>

#include "frontend/clock.h"
#include "frontend/intake.h"
#include "frontend/kept-bytecode.h"
#include "frontend/limits.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"
#include "schema/program-types.h"

namespace bpfman {

namespace {

constexpr uint64_t ANY_MAP_TYPE = ~uint64_t{0};

void requirePublished(std::vector<kj::Promise<WorkerReply>>& pins, kj::WaitScope& scope) {
  for (auto& pin : pins) {
    auto answer = pin.wait(scope);
    if (answer.result != -EEXIST) requireOk(answer, "make the public pins of a load");
  }
}

}  // namespace

// One load. The steps are in the order of its methods.
struct Loads::Run {
  Run(Loads& loads, const LoadWish& wish, int object, uint64_t size, Cancellation& cancellation, kj::WaitScope& scope, LoadRow row)
      : loads(loads), wish(wish), object(object), size(size), cancellation(cancellation), scope(scope), row(std::move(row)) {}

  Loads& loads;
  const LoadWish& wish;
  int object;
  uint64_t size;
  Cancellation& cancellation;
  kj::WaitScope& scope;
  LoadRow row;
  kj::Maybe<kj::Own<LoaderJob>> loader;
  std::vector<WantedProgram> programs;
  Pairs globals;  // as the catalogue keeps them
  std::vector<std::string> reuseNames;
  std::vector<wire::MapSource> reuse;
  wire::Grant grant{};

  WorkerChannel& session() { return KJ_ASSERT_NONNULL(loader)->session(); }

  schema::LoadResult::Reader ask(bool inspectOnly) {
    capnp::MallocMessageBuilder message;
    auto job = message.initRoot<schema::LoadJob>();
    job.setInspectOnly(inspectOnly);
    job.setKernelRelease(releaseOfKernel());
    auto wanted = job.initPrograms(programs.size());
    for (size_t i = 0; i < programs.size(); ++i) {
      wanted[i].setName(programs[i].name.c_str());
      wanted[i].setType(programs[i].kernelType);
      wanted[i].setExpectedAttachType(programs[i].expectedAttachType);
      wanted[i].setAttachTo(programs[i].attachTo.c_str());
      wanted[i].setFamily(programs[i].family.c_str());
      wanted[i].setFlags(programs[i].flags);
      wanted[i].setTarget(functionOf(programs[i]));
    }
    job.setListFunctions(wish.listFunctions);
    setGlobals(job);
    auto names = job.initReuse(reuseNames.size());
    for (size_t i = 0; i < reuseNames.size(); ++i) names.set(i, reuseNames[i].c_str());
    job.setLogLevel(wish.logLevel);
    auto sizes = job.initMapSizes(wish.mapSizes.size());
    for (size_t i = 0; i < wish.mapSizes.size(); ++i) {
      sizes[i].setName(wish.mapSizes[i].first.c_str());
      sizes[i].setEntries(wish.mapSizes[i].second);
    }
    job.setOtherTypes(wish.kernelTypes >= 0);
    int files[2] = {object, wish.kernelTypes};
    return KJ_ASSERT_NONNULL(loader)->ask(message, kj::arrayPtr(files, wish.kernelTypes < 0 ? 1 : 2));
  }

  void setGlobals(schema::LoadJob::Builder job) {
    auto globals = job.initGlobals(wish.globals.size() + wish.typed.size());
    size_t i = 0;
    for (auto& [name, value] : wish.globals) {
      globals[i].setName(name.c_str());
      globals[i++].setValue(kj::arrayPtr(reinterpret_cast<const kj::byte*>(value.data()), value.size()));
    }
    for (auto& [name, json] : wish.typed) {
      globals[i].setName(name.c_str());
      globals[i++].setJson(json.c_str());
    }
  }

  // With those set by their type as the bytes that the loader made of them: what brings them back after a reboot.
  Pairs globalsWith(capnp::List<schema::LoadResult::Variable>::Reader variables) {
    KJ_REQUIRE(variables.size() == wish.globals.size() + wish.typed.size(), "malformed answer from the loader");
    Pairs globals = wish.globals;
    size_t together = 0;
    for (auto& [name, json] : wish.typed) {
      auto value = variables[globals.size()].getValue();
      together += value.size();
      KJ_REQUIRE(value.size() <= limits::GLOBAL_BYTES && together <= limits::GLOBALS_BYTES, "malformed answer from the loader");
      globals.emplace_back(name, std::string(reinterpret_cast<const char*>(value.begin()), value.size()));
    }
    return globals;
  }

  kj::Maybe<Refused> refusal(schema::LoadResult::Reader result) {
    KJ_IF_MAYBE (refused, refusalOf(result)) {
      if (result.getFailed().getErrno() == EINVAL && refused->verifierLog.empty()) refused->reason += whatIsNeeded();
      return kj::mv(*refused);
    }
    return nullptr;
  }

  // By types that not every kernel has.
  std::string whatIsNeeded() {
    std::string text;
    for (auto& program : programs)
      KJ_IF_MAYBE (type, rowOf(static_cast<schema::ProgramType>(program.type)))
        if (!wish.own && type->needs.size() > 0) text += kj::str("; ", type->name, " needs ", type->needs).cStr();
    return text;
  }

  void chooseMaps() {
    if (wish.mapOwner == 0) return;
    auto missing = [&]() { refuse("map_owner_id ", wish.mapOwner, " does not exist: map owner not found"); };
    loads.requireObject(wish.mapOwner, "nobody else can use its maps");
    KJ_IF_MAYBE (owner, loads.catalog.program(wish.mapOwner)) {
      KJ_IF_MAYBE (load, loads.catalog.load(owner->load)) {
        if (!load->missing.empty()) refuse("program ", wish.mapOwner, ", whose maps it uses, is not loaded: ", load->missing.c_str());
        if (wish.persistent && !load->persistent)
          refuse("program ", wish.mapOwner, ", whose maps it would use, is not persistent: after a reboot there would be no such maps");
        for (const MapRow& map : load->maps) {
          if (map.internal) continue;
          reuseNames.push_back(map.name);
          reuse.push_back({load->load, map.index});
        }
        return;
      }
    }
    missing();
  }

  // What only the object says: whether a program may sleep, and its target, unless the request has one.
  kj::Maybe<Refused> asTheObjectSays() {
    auto isOpen = [&](const WantedProgram& program) { return !wish.own && saysMore(program); };
    if (std::ranges::none_of(programs, isOpen)) return nullptr;
    auto result = ask(true);
    KJ_IF_MAYBE (refused, refusal(result)) return kj::mv(*refused);
    auto found = result.getDone().getPrograms();
    KJ_REQUIRE(found.size() == programs.size(), "malformed answer from the loader");
    for (size_t i = 0; i < programs.size(); ++i) {
      if (!isOpen(programs[i])) continue;
      programs[i].flags |= found[i].getFlags() & BPF_F_SLEEPABLE;
      if (programs[i].attachTo.empty()) programs[i].attachTo = found[i].getAttachTo().cStr();
    }
    return nullptr;
  }

  static bool saysMore(const WantedProgram& program) {
    return program.kernelType == BPF_PROG_TYPE_TRACING || program.kernelType == BPF_PROG_TYPE_LSM ||
           program.kernelType == BPF_PROG_TYPE_KPROBE;
  }

  // What it extends or watches, in another program's BTF; 0: nothing.
  uint32_t functionOf(const WantedProgram& program) {
    if (program.kernelType == BPF_PROG_TYPE_EXT) return KJ_REQUIRE_NONNULL(wish.extension).function;
    return program.watched.function;
  }

  uint32_t targetOf(const WantedProgram& program) {
    uint32_t function = functionOf(program);
    return function != 0 ? function : loads.kernelTargetOf(program);
  }

  void makeGrant() {
    grant.mapTypes = ANY_MAP_TYPE;
    grant.maxMapBytes = kj::min(wish.maxMapBytes, loads.ceiling.maxMapBytes);
    grant.maxMaps = loads.ceiling.maxMaps;
    grant.programCount = programs.size();
    for (size_t i = 0; i < programs.size(); ++i) {
      grant.programs[i] = {programs[i].kernelType, programs[i].expectedAttachType, targetOf(programs[i]), programs[i].flags};
      grant.programs[i].target = programs[i].watched.load, grant.programs[i].targetIndex = programs[i].watched.index;
      if (programs[i].kernelType == BPF_PROG_TYPE_EXT) grant.programs[i].target = KJ_REQUIRE_NONNULL(wish.extension).load;
    }
    grant.reuseCount = reuse.size();
    std::copy(reuse.begin(), reuse.end(), grant.reuse);
  }

  LoadOutcome carryOut() {
    programs = wish.programs;
    KJ_IF_MAYBE (extension, wish.extension)
      for (auto& program : programs)
        if (program.family == extension->family) program.kernelType = BPF_PROG_TYPE_EXT, program.expectedAttachType = 0;
    chooseMaps();
    loader = kj::heap<LoaderJob>(loads.pool.take(scope), loads.timer, loads.patience, cancellation, scope);
    KJ_IF_MAYBE (refused, asTheObjectSays()) return LoadOutcome::refusal(kj::mv(*refused));
    makeGrant();
    requireOk(session().call(wire::Op::grant, grant).wait(scope), "the host's ceiling does not allow this load");

    auto result = ask(false);
    KJ_IF_MAYBE (refused, refusal(result)) return LoadOutcome::refusal(kj::mv(*refused));
    return commit(result.getDone());
  }

  LoadOutcome commit(schema::LoadResult::Done::Reader done) {
    auto loaded = done.getPrograms();
    auto maps = done.getMaps();
    KJ_REQUIRE(loaded.size() == programs.size() && maps.size() <= wire::MAX_MAPS, "the loader did not do what it was asked");
    row.license = done.getLicense().cStr();
    globals = globalsWith(done.getVariables());

    // What was loaded: from the kernel.
    wire::Commit commit{row.load, loaded.size(), maps.size(), 0, {}};
    std::vector<kj::Promise<WorkerReply>> replies;
    for (auto program : loaded) replies.push_back(inspect(commit.handles[replies.size()] = program.getHandle()));
    for (auto map : maps) replies.push_back(inspect(commit.handles[replies.size()] = map.getHandle()));
    LoadOutcome outcome;
    outcome.load = row.load;
    for (auto program : loaded) outcome.logs.push_back(program.getVerifierLog().cStr());
    for (auto function : done.getFunctions()) outcome.functions[function.getName().cStr()] = function.getId();
    std::vector<ProgramRow> rows;
    for (size_t i = 0; i < loaded.size(); ++i) {
      rows.push_back(checkedProgram(i, loaded[i], outcome.seenPrograms.add(replies[i].wait(scope))));
      outcome.programs.push_back(rows[i].id);
    }
    for (size_t i = 0; i < maps.size(); ++i) {
      auto& reply = outcome.seenMaps.add(replies[loaded.size() + i].wait(scope));
      requireOk(reply, "look at a map that was loaded");
      row.maps.push_back(mapRow(i, maps[i], infoOf<bpf_map_info>(reply)));
    }
    for (size_t i = 1; i < rows.size(); ++i) KJ_REQUIRE(rows[i].id != rows[i - 1].id, "the loader gave one program twice");

    requireOk(session().call(wire::Op::commit, commit).wait(scope), "pin what was loaded");
    row.state = LoadRow::loaded;
    row.missing.clear();
    if (wish.again != 0)
      loads.catalog.renumber(row, wish.instead, rows);
    else
      loads.catalog.putLoaded(row, rows);
    // From here on it exists. One that is loaded again is wanted also without its public names; the next start makes them.
    auto failure = kj::runCatchingExceptions([&]() {
      if (!wish.own) makePublic(outcome.programs);
    });
    KJ_IF_MAYBE (exception, failure) {
      if (wish.again == 0) kj::throwFatalException(kj::mv(*exception));
      spdlog::warn("load {}: {}", row.load, exception->getDescription().cStr());
    }
    return outcome;
  }

  kj::Promise<WorkerReply> inspect(uint32_t handle) { return session().call(wire::Op::inspectHandle, wire::Handle{handle}); }

  ProgramRow checkedProgram(size_t i, schema::LoadResult::Loaded::Reader said, const WorkerReply& reply) {
    requireOk(reply, "look at a program that was loaded");
    auto info = infoOf<bpf_prog_info>(reply);
    KJ_REQUIRE(said.getName() == programs[i].name.c_str() && info.type == programs[i].kernelType &&
                   info.attach_btf_id == grant.programs[i].attachBtfId,
               "the kernel loaded something else than was allowed", programs[i].name.c_str(), info.type);
    ProgramRow program;
    program.id = info.id;
    program.load = row.load;
    program.index = i;
    program.name = programs[i].name;
    program.type = programs[i].type;
    program.attachTo = programs[i].attachTo.empty() ? std::string(said.getAttachTo().cStr()) : programs[i].attachTo;
    program.globals = globals;
    program.metadata = wish.metadata;
    program.application = wish.application;
    program.mapOwner = wish.mapOwner;
    program.tailCalls = said.getTailCalls();
    program.extension = info.type == BPF_PROG_TYPE_EXT;
    program.frags = said.getFlags() & BPF_F_XDP_HAS_FRAGS && (program.extension || info.type == BPF_PROG_TYPE_XDP);
    program.runPriority = said.getRunPriority();
    program.runProceedOn = said.getProceedOn();
    program.gplCompatible = info.gpl_compatible;
    program.tag = kj::encodeHex(kj::arrayPtr(info.tag, sizeof info.tag)).cStr();
    return program;
  }

  MapRow mapRow(size_t i, schema::LoadResult::MapLoaded::Reader said, const bpf_map_info& info) {
    MapRow map{static_cast<uint32_t>(i), said.getName().cStr(), info.id, said.getInternal(), row.load, static_cast<uint32_t>(i)};
    if (said.getReused() && said.getHandle() < reuse.size()) {
      map.sourceLoad = reuse[said.getHandle()].load;
      map.sourceIndex = reuse[said.getHandle()].index;
    }
    return map;
  }

  void makePublic(const std::vector<uint32_t>& ids) {
    auto place = loads.workers.host(scope);
    auto pins = loads.publishing(row.load, *place);
    keepBytecode(ids);  // meanwhile
    requirePublished(pins, scope);
  }

  // RUNTIME_DIR/programs/ID/bytecode.o, one file for all programs of the load.
  void keepBytecode(const std::vector<uint32_t>& ids) {
    auto fileOf = [](uint32_t id) { return kj::str(id, "/bytecode.o"); };
    for (uint32_t id : ids) {
      if (mkdirat(loads.programsDir, kj::str(id).cStr(), 0755) < 0 && errno != EEXIST)
        refuse("keep a copy of the bytecode: ", strerror(errno));
      unlinkat(loads.programsDir, fileOf(id).cStr(), 0);
    }
    int file;
    KJ_SYSCALL(file = openat(loads.programsDir, fileOf(ids[0]).cStr(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    kj::AutoCloseFd owned(file);
    off_t offset = 0;
    while (static_cast<uint64_t>(offset) < size) {
      ssize_t sent;
      KJ_SYSCALL(sent = sendfile(file, object, &offset, size - offset), "keep a copy of the bytecode");
      if (sent == 0) break;
    }
    for (size_t i = 1; i < ids.size(); ++i)
      KJ_SYSCALL(linkat(loads.programsDir, fileOf(ids[0]).cStr(), loads.programsDir, fileOf(ids[i]).cStr(), 0));
  }
};

// The kernel's own name for what a program is verified against, and its number in the kernel's BTF; 0: of another type.
uint32_t Loads::kernelTargetOf(const WantedProgram& program) {
  kj::StringPtr name = program.attachTo.c_str();
  kj::Maybe<uint32_t> found;
  kj::StringPtr what = "function"_kj;
  switch (program.kernelType == BPF_PROG_TYPE_TRACING || program.kernelType == BPF_PROG_TYPE_LSM ? program.expectedAttachType : 0) {
    case BPF_TRACE_RAW_TP: found = btf.tracepointId(name), what = "tracepoint"_kj; break;
    case BPF_TRACE_ITER: found = btf.functionId(kj::str("bpf_iter_", name)), what = "iterator"_kj; break;
    case BPF_LSM_MAC:
    case BPF_LSM_CGROUP: found = btf.functionId(kj::str("bpf_lsm_", name)), what = "security hook"_kj; break;
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
    case BPF_MODIFY_RETURN: found = btf.functionId(name); break;
    default: return 0;
  }
  KJ_IF_MAYBE (id, found) return *id;
  if (name.size() == 0)
    refuse(program.family.c_str(), " program ", program.name.c_str(), ": say what it is for (", program.family.c_str(), ':',
           program.name.c_str(), ":ATTACH_FUNC); its section does not");
  auto suggestion = what == "tracepoint" ? btf.nearestTracepoint(name) : nullptr;
  auto meant = suggestion == nullptr ? kj::String() : kj::str("; did you mean ", KJ_ASSERT_NONNULL(suggestion), "?");
  refuse(program.family.c_str(), " program ", program.name.c_str(), ": this kernel has no ", what, " \"", name, "\"", meant);
}

LoadRow Loads::begin(const LoadWish& wish) {
  LoadRow row;
  KJ_IF_MAYBE (before, catalog.load(wish.again)) {
    row = *before;
    row.state = LoadRow::loading;
    catalog.put(row);
    return row;
  }
  row.load = catalog.nextLoad();
  row.sourcePath = wish.sourcePath;
  row.uid = wish.uid;
  row.createdAt = wallClock();
  row.own = wish.own;
  row.purpose = wish.purpose;
  row.request = wish.request;
  row.persistent = wish.persistent;
  catalog.put(row);  // the journal: before the first step
  return row;
}

LoadOutcome Loads::load(const LoadWish& wish, int object, uint64_t size, Cancellation& cancellation, kj::WaitScope& scope) {
  LoadRow row = begin(wish);

  KJ_DEFER(pool.refillLater());  // not before: starting a loader would take the processor from this load
  LoadOutcome outcome;
  Run run(*this, wish, object, size, cancellation, scope, row);
  auto failure = kj::runCatchingExceptions([&]() {
    if (wish.persistent && wish.again == 0) KeptBytecode::keep(row.load, object, size);
    outcome = run.carryOut();
  });
  if (failure != nullptr || outcome.refused != nullptr) undo(row.load, scope);
  KJ_IF_MAYBE (exception, failure) kj::throwFatalException(kj::mv(*exception));
  return outcome;
}

SealedObject Loads::bytecodeOf(uint32_t program) const {
  requireObject(program, "nothing is known of its variables and functions");
  auto path = kj::str(program, "/bytecode.o");
  int file = openat(programsDir, path.cStr(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) refuse("the copy of program ", program, "'s bytecode is gone (", path, "): ", strerror(errno));
  return sealedCopyOf(kj::AutoCloseFd(file));
}

kj::Own<LoaderJob> Loads::inspector(Cancellation& cancellation, kj::WaitScope& scope) {
  auto job = kj::heap<LoaderJob>(pool.take(scope), timer, patience, cancellation, scope);
  pool.refillLater();
  return job;
}

std::string purposeOf(kj::StringPtr what, kj::ArrayPtr<const kj::byte> object) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (auto byte : object) hash = (hash ^ byte) * 1099511628211u;
  return kj::str(what, ':', kj::hex(hash)).cStr();
}

LoadOutcome Loads::loadOwn(LoadWish wish, kj::ArrayPtr<const kj::byte> object, kj::WaitScope& scope) {
  wish.own = true;
  Upload upload(object.size());
  upload.write(object);
  SealedObject sealed = upload.finish();
  Cancellation never;
  return load(wish, sealed.fd(), sealed.size(), never, scope);
}

void Loads::publish(uint32_t load, kj::WaitScope& scope) {
  auto place = workers.host(scope);
  auto pins = publishing(load, *place);
  requirePublished(pins, scope);
}

std::vector<kj::Promise<WorkerReply>> Loads::publishing(uint32_t load, Place& place) {
  const LoadRow& row = KJ_ASSERT_NONNULL(catalog.load(load));
  std::vector<kj::Promise<WorkerReply>> replies;
  for (auto program : catalog.programsOf(load)) {
    replies.push_back(
        place.worker.call(wire::Op::publish, wire::Publish{loadedProgram(load, program->index), pinAt(wire::Dir::programs, program->id)}));
    for (const MapRow& map : row.maps) {
      if (map.internal || !isPinName(map.name.c_str())) continue;
      wire::Publish wish{loadedMap(load, map.index), pinAt(wire::Dir::maps, program->id, 0, 0, map.name.c_str())};
      replies.push_back(place.worker.call(wire::Op::publish, wish));
    }
  }
  return replies;
}

void Loads::undo(uint32_t load, kj::WaitScope& scope) {
  KJ_IF_MAYBE (known, catalog.load(load))
    if (known->state == LoadRow::loading && !known->missing.empty()) {
      LoadRow row = *known;
      auto place = workers.host(scope);
      requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{load, 0}).wait(scope), "remove a load's pins");
      row.state = LoadRow::loaded;
      return catalog.put(row);
    }
  std::vector<uint32_t> ids;
  for (auto program : catalog.programsOf(load)) ids.push_back(program->id);
  for (uint32_t id : ids) removeProgram(id, scope);
  if (!ids.empty()) return;  // the load went with its last program
  auto place = workers.host(scope);
  requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{load, 0}).wait(scope), "remove a load's pins");
  erase(load);
}

void Loads::erase(uint32_t load) {
  catalog.eraseLoad(load);
  KeptBytecode::remove(load);
}

void Loads::removeProgram(uint32_t id, kj::WaitScope& scope) {
  const ProgramRow program = KJ_ASSERT_NONNULL(catalog.program(id));
  auto place = workers.host(scope);
  std::vector<kj::Promise<WorkerReply>> replies;
  auto remove = [&](const wire::Pin& pin) { replies.push_back(place->worker.call(wire::Op::remove, wire::Remove{pin})); };
  remove(pinAt(wire::Dir::programs, id));
  KJ_IF_MAYBE (load, catalog.load(program.load))
    for (const MapRow& map : load->maps)
      if (!map.internal && isPinName(map.name.c_str())) remove(pinAt(wire::Dir::maps, id, 0, 0, map.name.c_str()));
  remove(loadedProgram(program.load, program.index));
  for (auto& reply : replies) requireOk(reply.wait(scope), "remove a program's pins");
  unlinkat(programsDir, kj::str(id, "/bytecode.o").cStr(), 0);
  unlinkat(programsDir, kj::str(id).cStr(), AT_REMOVEDIR);
  if (catalog.programsOf(program.load).size() > 1) return catalog.eraseProgram(id);
  // As long as anything is left of it, it is listed: whoever unloads it once more removes the rest.
  requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{program.load, 0}).wait(scope), "remove a load's pins");
  erase(program.load);
}

}  // namespace bpfman
