#include "frontend/load.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include <kj/debug.h>
#include <kj/encoding.h>
#include <spdlog/spdlog.h>

#include "frontend/clock.h"
#include "frontend/intake.h"
#include "frontend/kept-bytecode.h"
#include "frontend/limits.h"
#include "frontend/load-modules.h"
#include "frontend/loader-job.h"
#include "frontend/map-sources.h"
#include "frontend/refuse.h"
#include "schema/program-types.h"

namespace bpfman {

namespace {

constexpr uint64_t ANY_MAP_TYPE = ~uint64_t{0};

void setTexts(capnp::List<capnp::Text>::Builder list, const std::vector<std::string>& texts) {
  for (size_t i = 0; i < texts.size(); ++i) list.set(i, texts[i].c_str());
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
  std::map<size_t, KernelBtf::Member> members;  // of a struct_ops, by the program's number
  Pairs globals;                                // as the catalogue keeps them
  MapSources sources{loads.catalog, wish, loads.ceiling.possibleCpus};
  kj::Maybe<Locks::Turn> turn;  // at the names of the application's maps
  LoadModules modules{loads.modules, loads.broker};
  wire::Grant grant{};

  WorkerChannel& session() { return KJ_ASSERT_NONNULL(loader)->session(); }

  schema::LoadResult::Reader ask(bool inspectOnly, bool withModules = false) {
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
      auto signature = std::ranges::find(wish.signatures, programs[i].name, &Signature::program);
      if (signature != wish.signatures.end()) {
        wanted[i].setSignature(kj::StringPtr(signature->pkcs7.data(), signature->pkcs7.size()).asBytes());
        wanted[i].setKeyring(signature->keyring);
      }
      wanted[i].setTargetModule(grant.programs[i].module);
      // Older libbpf does not know MODULE:NAME, so it is told the number.
      bool resolved = grant.programs[i].module != 0 || ModuleBtf::isQualified(programs[i].attachTo.c_str());
      wanted[i].setTarget(resolved ? grant.programs[i].attachBtfId : functionOf(programs[i]));
      if (auto member = members.find(i); member != members.end()) {
        auto function = wanted[i].initFunction();
        function.setValueType(member->second.valueType);
        function.setOffset(member->second.offset);
      }
    }
    if (withModules) modules.put(job);
    job.setListFunctions(wish.listFunctions);
    setGlobals(job);
    setTexts(job.initReuse(sources.owners().size()), sources.owners());
    setTexts(job.initShared(sources.shared().size()), sources.shared());
    job.setLogLevel(wish.logLevel);
    job.setToSign(wish.toSign);
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
    std::set<std::string> needs;
    for (auto& program : programs)
      KJ_IF_MAYBE (type, rowOf(static_cast<schema::ProgramType>(program.type)))
        if (!wish.own && type->needs.size() > 0) needs.insert(kj::str("; ", type->name, " needs ", type->needs).cStr());
    return std::accumulate(needs.begin(), needs.end(), std::string());
  }

  // What only the object says: whether a program may sleep, and its target, unless the request has one; and which maps it pins by name.
  kj::Maybe<Refused> asTheObjectSays() {
    auto isOpen = [&](const WantedProgram& program) { return !wish.own && saysMore(program); };
    if (std::ranges::none_of(programs, isOpen) && wish.application.empty()) return nullptr;
    auto result = ask(true);
    KJ_IF_MAYBE (refused, refusal(result)) return kj::mv(*refused);
    sources.note(result.getDone().getMaps());
    auto found = result.getDone().getPrograms();
    KJ_REQUIRE(found.size() == programs.size(), "malformed answer from the loader");
    for (size_t i = 0; i < programs.size(); ++i) {
      if (!isOpen(programs[i])) continue;
      programs[i].flags |= found[i].getFlags() & BPF_F_SLEEPABLE;
      // What a struct_ops program is for, only the object can say.
      if (programs[i].attachTo.empty() || programs[i].kernelType == BPF_PROG_TYPE_STRUCT_OPS)
        programs[i].attachTo = found[i].getAttachTo().cStr();
    }
    return nullptr;
  }

  static bool saysMore(const WantedProgram& program) {
    return program.kernelType == BPF_PROG_TYPE_TRACING || program.kernelType == BPF_PROG_TYPE_LSM ||
           program.kernelType == BPF_PROG_TYPE_KPROBE || program.kernelType == BPF_PROG_TYPE_STRUCT_OPS ||
           program.kernelType == BPF_PROG_TYPE_SYSCALL;
  }

  // What it extends or watches, in another program's BTF; 0: nothing.
  uint32_t functionOf(const WantedProgram& program) {
    if (program.kernelType == BPF_PROG_TYPE_EXT) return KJ_REQUIRE_NONNULL(wish.extension).function;
    return program.watched.function;
  }

  KernelTarget targetOf(const WantedProgram& program) {
    uint32_t function = functionOf(program);
    return function != 0 ? KernelTarget{function} : loads.kernelTargetOf(program);
  }

  KernelBtf::Member memberOf(const WantedProgram& program) {
    KJ_IF_MAYBE (member, loads.btf.structOpsMember(program.attachTo.c_str())) return *member;
    if (program.attachTo.find('.') == program.attachTo.npos)
      refuse("struct_ops program ", program.name.c_str(), ": no struct_ops map of the object has it");
    refuse("struct_ops program ", program.name.c_str(), ": this kernel takes no \"", program.attachTo.c_str(), "\"",
           program.attachTo.starts_with("sched_ext_ops.") ? ", or not this function of it: it needs Linux 6.12 with CONFIG_SCHED_CLASS_EXT"
                                                          : "; 'bpfman host' lists the struct_ops that it takes");
  }

  void makeGrant() {
    grant.mapTypes = ANY_MAP_TYPE;
    grant.maxMapBytes = kj::min(wish.maxMapBytes, loads.ceiling.maxMapBytes);
    grant.maxMaps = loads.ceiling.maxMaps;
    grant.programCount = programs.size();
    for (size_t i = 0; i < programs.size(); ++i) {
      if (programs[i].kernelType == BPF_PROG_TYPE_STRUCT_OPS) {
        auto member = memberOf(programs[i]);
        members[i] = member;
        grant.programs[i] = {programs[i].kernelType, member.index, member.type, programs[i].flags};
        continue;
      }
      KernelTarget target = targetOf(programs[i]);
      grant.programs[i] = {programs[i].kernelType, programs[i].expectedAttachType, target.id, programs[i].flags};
      grant.programs[i].module = modules.numberOf(target.module);
      grant.programs[i].target = programs[i].watched.load, grant.programs[i].targetIndex = programs[i].watched.index;
      if (programs[i].kernelType == BPF_PROG_TYPE_EXT) grant.programs[i].target = KJ_REQUIRE_NONNULL(wish.extension).load;
    }
    grant.reuseCount = sources.all().size();
    std::copy(sources.all().begin(), sources.all().end(), grant.reuse);
  }

  // Again, with other maps, when one that it was to share went meanwhile.
  WorkerReply giveGrant() {
    if (sources.needsTurn()) turn = loads.names.take(sources.turn(), scope);
    auto place = loads.workers.host(scope);
    auto look = [&](const wire::Pin& pin) { return place->worker.call(wire::Op::inspect, pin).wait(scope); };
    for (bool changed = sources.takeNamed(look);; changed = sources.takeNamed(look)) {
      makeGrant();
      modules.give(session(), scope);
      auto reply = session().call(wire::Op::grant, grant).wait(scope);
      if (reply.result != -ENOENT || !changed) return reply;
    }
  }

  LoadOutcome carryOut() {
    programs = wish.programs;
    KJ_IF_MAYBE (extension, wish.extension)
      for (auto& program : programs)
        if (program.family == extension->family) program.kernelType = BPF_PROG_TYPE_EXT, program.expectedAttachType = 0;
    if (wish.mapOwner != 0) loads.requireObject(wish.mapOwner, "nobody else can use its maps");
    sources.takeOwners();
    loader = kj::heap<LoaderJob>(loads.pool.take(scope), loads.timer, loads.patience, cancellation, scope);
    KJ_IF_MAYBE (refused, asTheObjectSays()) return LoadOutcome::refusal(kj::mv(*refused));
    requireOk(giveGrant(), "the host's ceiling does not allow this load");

    auto result = ask(false);
    if (result.isWanting()) {
      modules.addWanted(result.getWanting());
      modules.give(session(), scope);
      result = ask(false, true);
    }
    KJ_IF_MAYBE (refused, refusal(result)) return LoadOutcome::refusal(kj::mv(*refused));
    KJ_REQUIRE(result.isDone(), "malformed answer from the loader");
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
    if (!modules.leftOut().empty())
      outcome.warnings.push_back("the object uses " + std::to_string(wire::MAX_MODULES) +
                                 " modules of the kernel, as many as a load can: others that have its types were left out, the first is " +
                                 modules.leftOut()[0]);
    for (auto program : loaded) outcome.logs.push_back(program.getVerifierLog().cStr());
    for (auto program : loaded) outcome.toSign.emplace_back(program.getToSign().asChars().begin(), program.getToSign().size());
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
      if (maps[i].getPinByName() && !maps[i].getReused() && wish.application.empty())
        outcome.warnings.push_back("map \"" + row.maps[i].name + "\" is pinned by name, but without an application (-a) nobody shares it");
    }
    for (size_t i = 1; i < rows.size(); ++i) KJ_REQUIRE(rows[i].id != rows[i - 1].id, "the loader gave one program twice");

    requireOk(session().call(wire::Op::commit, commit).wait(scope), "pin what was loaded");
    row.state = LoadRow::loaded;
    row.missing.clear();
    row.mapSizes = sizesToKeep();
    if (wish.persistent) row.signatures = wish.signatures;
    if (wish.again != 0)
      loads.catalog.renumber(row, wish.instead, rows);
    else
      loads.catalog.putLoaded(row, rows);
    // From here on it exists. One that is loaded again is wanted also without its public names: the next worker makes them, if this one has
    // died, else the next start.
    auto publish = [&]() {
      return kj::runCatchingExceptions([&]() {
        if (!wish.own) makePublic(outcome.programs);
      });
    };
    auto failure = publish();
    if (failure != nullptr && wish.again != 0) failure = publish();
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
    if (said.getReused() && said.getHandle() < sources.all().size()) {
      map.sourceLoad = sources.all()[said.getHandle()].load;
      map.sourceIndex = sources.all()[said.getHandle()].index;
    }
    map.named = sources.isNamed(map.name);
    return map;
  }

  // Those of maps that it has: what takes its place after an update may lack some.
  std::vector<std::pair<std::string, uint32_t>> sizesToKeep() {
    std::vector<std::pair<std::string, uint32_t>> sizes;
    if (!wish.persistent) return sizes;
    for (auto& list : {wish.mapSizes, wish.keptSizes})
      for (auto& size : list)
        if (std::ranges::count(row.maps, size.first, &MapRow::name)) sizes.push_back(size);
    return sizes;
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

// The kernel's own name for what a program is verified against, and its number in the kernel's BTF, or a module's.
Loads::KernelTarget Loads::kernelTargetOf(const WantedProgram& program) {
  kj::StringPtr name = program.attachTo.c_str();
  if (name.startsWith("vmlinux:")) name = name.slice(strlen("vmlinux:"));
  kj::Maybe<uint32_t> found;
  kj::StringPtr what = "function"_kj;
  kj::Maybe<ModuleBtf::Wanted> inModules;
  switch (program.kernelType == BPF_PROG_TYPE_TRACING || program.kernelType == BPF_PROG_TYPE_LSM ? program.expectedAttachType : 0) {
    case BPF_TRACE_RAW_TP:
      found = btf.tracepointId(name), what = "tracepoint"_kj;
      inModules = ModuleBtf::Wanted::tracepoint;
      break;
    case BPF_TRACE_ITER: found = btf.functionId(kj::str("bpf_iter_", name)), what = "iterator"_kj; break;
    case BPF_LSM_MAC:
    case BPF_LSM_CGROUP: found = btf.functionId(kj::str("bpf_lsm_", name)), what = "security hook"_kj; break;
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
    case BPF_MODIFY_RETURN:
      if (!ModuleBtf::isQualified(name)) found = btf.functionId(name);
      inModules = ModuleBtf::Wanted::function;
      break;
    default: return {};
  }
  KJ_IF_MAYBE (id, found) return {*id};
  KJ_IF_MAYBE (wanted, inModules)
    if (name.size() > 0)
      KJ_IF_MAYBE (there, modules.find(*wanted, name)) return {there->id, there->module};
  if (name.size() == 0)
    refuse(program.family.c_str(), " program ", program.name.c_str(), ": say what it is for (", program.family.c_str(), ':',
           program.name.c_str(), ":ATTACH_FUNC); its section does not");
  auto suggestion = what == "tracepoint" ? btf.nearestTracepoint(name) : nullptr;
  auto meant = suggestion == nullptr ? kj::String() : kj::str("; did you mean ", KJ_ASSERT_NONNULL(suggestion), "?");
  auto neither = inModules == nullptr ? ""_kj : ", nor has a module that is loaded"_kj;
  refuse(program.family.c_str(), " program ", program.name.c_str(), ": this kernel has no ", what, " \"", name, "\"", neither, meant);
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
  row.otherTypes = wish.persistent && wish.kernelTypes >= 0;
  catalog.put(row);  // the journal: before the first step
  return row;
}

LoadOutcome Loads::load(const LoadWish& wish, int object, uint64_t size, Cancellation& cancellation, kj::WaitScope& scope) {
  LoadRow row = begin(wish);

  KJ_DEFER(pool.refillLater());  // not before: starting a loader would take the processor from this load
  LoadOutcome outcome;
  Run run(*this, wish, object, size, cancellation, scope, row);
  auto failure = kj::runCatchingExceptions([&]() {
    if (wish.persistent && wish.again == 0) {
      KeptBytecode::keep(row.load, KeptBytecode::object, object, size);
      if (row.otherTypes) KeptBytecode::keep(row.load, KeptBytecode::types, wish.kernelTypes, wish.kernelTypesSize);
    }
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

}  // namespace bpfman
