// Loading, and the list of programs.
#include <algorithm>
#include <set>
#include <fcntl.h>
#include <linux/bpf.h>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/describe.h"
#include "frontend/hook.h"
#include "frontend/kept-bytecode.h"
#include "frontend/kernel-names.h"
#include "frontend/limited-text.h"
#include "frontend/memory.h"
#include "frontend/refuse.h"
#include "frontend/settle-programs.h"
#include "frontend/signatures.h"
#include "frontend/servers.h"
#include "frontend/system-view.h"

namespace bpfman {

using schema::ProgramType;

namespace {

// Bytes as they come, bounded by what was announced. Several chunks may be under way at once, in order.
class ByteSinkServer final : public schema::ByteSink::Server {
 public:
  ByteSinkServer(Connection& connection, uint64_t size) : connection(connection), upload(size) { ++this->connection->uploadsBegun; }
  ~ByteSinkServer() noexcept(false) {
    if (!finished) --connection->uploadsBegun;
  }

  kj::Promise<void> write(WriteContext context) override {
    upload.write(context.getParams().getBytes());
    return kj::READY_NOW;
  }

  kj::Promise<void> done(DoneContext context) override {
    if (finished) refuse("this upload is finished already");
    uint64_t number = ++connection->lastUpload;
    connection->uploads.emplace(number, upload.finish());
    finished = true;
    context.getResults().setBytecode(number);
    return kj::READY_NOW;
  }

 private:
  Holding connection;
  Upload upload;
  bool finished = false;
};

bool isForAnEngine(const WantedProgram& program) { return program.family == "xdp" || program.family == "tc"; }

void requireFew(Connection& connection, uint32_t programs) {
  uint32_t most = connection.core.options.ceiling.maxPrograms;
  if (programs > most) refuse("at most ", most, " programs in one load, not ", programs);
}

void requireUsableEngine(const LoadWish& wish) {
  if (!wish.engine.empty() && !std::ranges::any_of(wish.programs, isForAnEngine))
    refuse("--engine ", wish.engine.c_str(), ": only xdp and tc programs are loaded for an engine");
}

TypeSet typesOf(const LoadWish& wish) {  // that are known already
  TypeSet types;
  auto add = [&](const std::vector<WantedProgram>& programs) {
    for (auto& program : programs)
      if (!program.infer) types |= setOf({static_cast<ProgramType>(program.type)});
  };
  add(wish.programs);
  for (auto& list : wish.alternatives) add(list);
  return types;
}

uint32_t mostPrograms(const LoadWish& wish) {  // whichever alternative it is
  size_t most = wish.programs.size();
  for (auto& list : wish.alternatives) most = kj::max(most, list.size());
  return most;
}

WantedProgram wantedFrom(schema::LoadOptions::Wanted::Reader wanted) {
  auto type = wanted.getType();
  auto name = limitedText(wanted.getName(), "a program's name"), attachTo = limitedText(wanted.getAttachTo(), "an attach target");
  if (name.empty()) refuse("a program without a name");
  if (wanted.getInferType()) return {0, name, attachTo, "", 0, 0, 0, true};
  KJ_IF_MAYBE (row, rowOf(type))
    return {static_cast<uint16_t>(type), name, attachTo, row->name.cStr(), row->kernelType, row->expectedAttachType};
  refuse("this version can't load programs of type ", typeName(type));
}

std::vector<WantedProgram> wantedFrom(Connection& connection, capnp::List<schema::LoadOptions::Wanted>::Reader list) {
  requireFew(connection, list.size());
  std::vector<WantedProgram> programs;
  for (auto wanted : list) {
    WantedProgram program = wantedFrom(wanted);
    for (auto& other : programs)
      if (other.name == program.name) refuse("program ", program.name.c_str(), " is named twice");
    programs.push_back(std::move(program));
  }
  return programs;
}

void takeMapSizes(LoadWish& wish, capnp::List<schema::LoadOptions::MapSize>::Reader list) {
  if (list.size() > wire::MAX_MAPS) refuse("at most ", wire::MAX_MAPS, " sizes of maps in one load");
  for (auto size : list) wish.mapSizes.emplace_back(limitedText(size.getName(), "a map's name"), size.getEntries());
}

// The request as what is to be done; refused when it can't be, or when the caller may not.
LoadWish wishFrom(Connection& connection, schema::Bytecode::Reader bytecode, schema::LoadOptions::Reader options) {
  LoadWish wish;
  auto programs = options.getPrograms();
  wish.all = options.getAllPrograms();
  if (wish.all && programs.size() > 0) refuse("all programs of the object, or those that are named: not both");
  if (!wish.all && programs.size() == 0) refuse("name at least one program to load (--programs TYPE:NAME), or --all-programs");
  wish.programs = wantedFrom(connection, programs);
  auto alternatives = options.getAlternatives();
  if (alternatives.size() > limits::ALTERNATIVES_PER_LOAD) refuse("at most ", limits::ALTERNATIVES_PER_LOAD, " alternatives in one load");
  for (auto list : alternatives) wish.alternatives.push_back(wantedFrom(connection, list));
  for (auto& list : wish.alternatives)
    if (list.empty() || wish.all || std::ranges::any_of(list, &WantedProgram::infer))
      refuse("alternatives name their programs, each with its type");
  takeGlobals(wish, options.getGlobals());
  takeMetadata(wish, options.getMetadata(), options.getApplication());
  wish.sourcePath = limitedText(bytecode.getSourcePath(), "the source path", limits::PATH_BYTES);
  wish.mapOwner = options.getMapOwner();
  wish.engine = limitedText(options.getEngine(), "the engine's name");
  if (wish.engine == "auto") wish.engine = "";
  wish.uid = connection.uid();
  wish.request = connection.requestKey(options.getRequestId());
  wish.persistent = options.getPersistent();
  wish.logLevel = options.getLogLevel();
  if (wish.logLevel > 7) refuse("log level ", wish.logLevel, ": bits 1 (instructions), 2 (and states), 4 (statistics) are known");
  takeMapSizes(wish, options.getMapSizes());
  takeSignatures(wish, options.getSignatures());
  wish.toSign = options.getToSign();
  if (!mustSettle(wish)) requireUsableEngine(wish);
  requireMayLoad(connection, wish, typesOf(wish));
  return wish;
}

class ProgramsServer final : public schema::Programs::Server {
 public:
  ProgramsServer(Connection& connection, SystemView& system) : connection(connection), core(connection.core), system(system) {}

  kj::Promise<void> upload(UploadContext context) override {
    connection->rights.requireView();
    connection->requireCapabilities(1);
    if (connection->uploadsBegun >= limits::UPLOADS_PER_CONNECTION)
      refuse(kj::Exception::Type::OVERLOADED, kj::str("at most ", limits::UPLOADS_PER_CONNECTION, " uploads at once on a connection"));
    context.getResults().setSink(kj::heap<ByteSinkServer>(*connection, context.getParams().getSize()));
    return kj::READY_NOW;
  }

  kj::Promise<void> load(LoadContext context) override {
    auto params = context.getParams();
    auto wish = kj::heap<LoadWish>(wishFrom(*connection, params.getBytecode(), params.getOptions()));
    connection->requireCapabilities(mostPrograms(*wish));
    auto types = kernelTypesFrom(params.getOptions());
    return objectFrom(*connection, params.getBytecode())
        .then([this, context, wish = kj::mv(wish), types = kj::mv(types)](SealedObject object) mutable {
          return types.then([this, context, wish = kj::mv(wish), object = kj::mv(object)](kj::Maybe<SealedObject> types) mutable {
            return connection->change("load", [this, context, wish = kj::mv(wish), object = kj::mv(object), types = kj::mv(types)](
                                                  kj::WaitScope& scope, AuditLine& line) mutable {
              line.what = wish->sourcePath;
              line.request = wish->request;
              KJ_IF_MAYBE (given, types) {
                wish->kernelTypes = given->fd();
                wish->kernelTypesSize = given->size();
              }
              carryOut(context, *wish, object, line, scope);
            });
          });
        });
  }

  kj::Promise<void> take(TakeContext context) override { return takeProgram(connection, context); }

  kj::Promise<void> list(ListContext context) override {
    connection->rights.requireView();
    return connection->read([this, context](kj::WaitScope& scope) mutable { fillList(context, scope); });
  }

  kj::Promise<void> get(GetContext context) override {
    connection->rights.requireView();
    connection->requireCapabilities(1);
    return connection->read([this, context](kj::WaitScope& scope) mutable {
      uint32_t id = context.getParams().getId();
      auto results = context.getResults();
      describeProgram(core, id, results.initDetails(), scope);
      results.setProgram(newProgram(*connection, id));
    });
  }

 private:
  Holding connection;
  Core& core;
  SystemView& system;

  kj::Promise<kj::Maybe<SealedObject>> kernelTypesFrom(schema::LoadOptions::Reader options) {
    if (!options.hasKernelTypes()) return kj::Maybe<SealedObject>(nullptr);
    return descriptorOf(options.getKernelTypes(), "the BTF").then([this](kj::AutoCloseFd fd) {
      return kj::Maybe<SealedObject>(core.intake.object(kj::mv(fd)));
    });
  }

  // A retry, after the answer to the first try was lost.
  bool answerAgain(LoadContext& context, const LoadWish& wish, AuditLine& line, kj::WaitScope& scope) {
    KJ_IF_MAYBE (load, core.catalog.loadOf(wish.request)) {
      if (load->state != LoadRow::loaded) return false;
      for (auto program : core.catalog.programsOf(load->load)) line.programs.push_back(program->id);
      auto results = context.getResults();
      auto loaded = results.initLoaded(line.programs.size());
      for (size_t i = 0; i < line.programs.size(); ++i) {
        loaded[i].setProgram(newProgram(*connection, line.programs[i]));
        describeProgram(core, line.programs[i], loaded[i].initDetails(), scope);
      }
      line.what += " (again)";
      return true;
    }
    return false;
  }

  void carryOut(LoadContext& context, LoadWish& wish, SealedObject& object, AuditLine& line, kj::WaitScope& scope) {
    kj::Maybe<Locks::Turn> turn;
    if (!wish.request.empty()) {
      turn = core.locks.take("request:" + wish.request, scope);
      if (answerAgain(context, wish, line, scope)) return;
    }
    if (wish.persistent) requireRoomToKeep(object.size() + wish.kernelTypesSize);
    Cancellation cancellation;
    connection->loads.insert(&cancellation);
    KJ_DEFER(connection->loads.erase(&cancellation));
    if (mustSettle(wish)) {
      settlePrograms(core, wish, object, cancellation, scope);
      requireFew(*connection, wish.programs.size());
      requireUsableEngine(wish);
      connection->requireCapabilities(wish.programs.size());
      requireMayLoad(*connection, wish, typesOf(wish));
    }
    requireSignedPrograms(wish);
    LoadOutcome outcome = loadFirst(wish, object, cancellation, scope);
    if (outcome.refused == nullptr) requireWithinMemory(*connection, outcome.load, typesOf(wish), scope);
    auto results = context.getResults();
    line.programs = outcome.programs;
    for (auto& map : outcome.seenMaps) line.maps.push_back(infoOf<bpf_map_info>(map).id);
    KJ_IF_MAYBE (refused, outcome.refused) {
      line.what += ": refused: " + refused->reason;
      auto refusal = results.initRefused();
      refusal.setReason(refused->reason.c_str());
      refusal.setVerifierLog(refused->verifierLog.c_str());
      refusal.setSummary(refused->summary.c_str());
      return;
    }
    auto warnings = results.initWarnings(outcome.warnings.size());
    for (size_t i = 0; i < outcome.warnings.size(); ++i) warnings.set(i, outcome.warnings[i].c_str());
    auto loaded = results.initLoaded(outcome.programs.size());
    for (size_t i = 0; i < outcome.programs.size(); ++i) {
      loaded[i].setProgram(newProgram(*connection, outcome.programs[i]));
      describeLoaded(core, outcome, i, loaded[i].initDetails());
      loaded[i].setVerifierLog(outcome.logs[i].c_str());
      loaded[i].setToSign(kj::StringPtr(outcome.toSign[i].data(), outcome.toSign[i].size()).asBytes());
    }
  }

  // What this host has no hook for; "": it has all.
  std::string missing(const std::vector<WantedProgram>& programs, kj::WaitScope& scope) {
    for (auto& hook : system.hooks(scope))
      for (auto& program : programs)
        if (static_cast<uint16_t>(hook.row.type) == program.type && !hook.missing.empty())
          return kj::str("this host has no ", hook.row.name, ": ", hook.missing.c_str()).cStr();
    return "";
  }

  LoadOutcome loadFirst(LoadWish& wish, SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope) {
    auto load = [&]() {
      aimAtPrograms(core, connection->rights, wish, scope);
      return core.engines.load(core.loads, wish, object, cancellation, scope);
    };
    if (wish.alternatives.empty()) return load();
    kj::Vector<kj::String> reasons;
    wish.alternatives.insert(wish.alternatives.begin(), wish.programs);
    for (auto& programs : wish.alternatives) {
      wish.programs = programs;
      std::string reason = missing(programs, scope);
      if (reason.empty()) {
        kj::Maybe<LoadOutcome> outcome;
        auto failure = kj::runCatchingExceptions([&]() { outcome = load(); });
        KJ_IF_MAYBE (exception, failure) {
          if (exception->getType() != kj::Exception::Type::FAILED) kj::throwFatalException(kj::mv(*exception));
          reason = exception->getDescription().cStr();
        } else {
          auto& done = KJ_ASSERT_NONNULL(outcome);
          if (done.refused == nullptr) return kj::mv(done);
          reason = KJ_ASSERT_NONNULL(done.refused).reason;
        }
      }
      reasons.add(kj::str(programs[0].family.c_str(), " ", programs[0].name.c_str(), ": ", reason.c_str()));
    }
    return LoadOutcome::refusal({kj::str("none of the alternatives can be loaded: ", kj::strArray(reasons, "; ")).cStr(), "", ""});
  }

  void requireRoomToKeep(uint64_t bytes) {
    for (auto& [id, row] : core.catalog.loads())
      if (row.persistent && row.uid == connection->uid()) bytes += KeptBytecode::bytes(id);
    if (bytes > limits::PERSISTENT_BYTES)
      refuse(kj::Exception::Type::OVERLOADED, kj::str("the objects of your persistent programs would have ", bytes, " bytes; at most ",
                                                      limits::PERSISTENT_BYTES, " are kept for one user: unload some of them first"));
  }

  struct Entry {
    const ProgramRow* row = nullptr;        // ours
    const KernelProgram* kernel = nullptr;  // seen
    uint32_t id;
    kj::StringPtr type;
  };

  bool wanted(const Entry& entry, schema::ProgramFilter::Reader filter) {
    auto types = filter.getTypes();
    bool typed = types.size() == 0;
    for (auto type : types) typed |= type == entry.type;
    if (!typed) return false;
    if (entry.row == nullptr)
      return filter.getApplication().size() == 0 && filter.getMetadata().size() == 0 &&
             filter.getAttached() == schema::ProgramFilter::Attached::ANY;
    if (filter.getApplication().size() > 0 && filter.getApplication() != entry.row->application.c_str()) return false;
    for (auto pair : filter.getMetadata()) {
      bool found = false;
      for (auto& [key, value] : entry.row->metadata) found |= pair.getKey() == key.c_str() && pair.getValue() == value.c_str();
      if (!found) return false;
    }
    bool attached = !core.catalog.linksOf(entry.row->id).empty();
    switch (filter.getAttached()) {
      case schema::ProgramFilter::Attached::ATTACHED: return attached;
      case schema::ProgramFilter::Attached::UNATTACHED: return !attached;
      default: return true;
    }
  }

  void fillList(ListContext& context, kj::WaitScope& scope) {
    auto filter = context.getParams().getFilter();
    auto seen = system.programs(scope);
    Moment moment = system.moment();
    auto inKernel = [&](uint32_t id) -> const KernelProgram* {  // ascending, as the kernel walks them
      auto found =
          std::lower_bound(seen.begin(), seen.end(), id, [](const KernelProgram& program, uint32_t id) { return program.id < id; });
      return found != seen.end() && found->id == id ? &*found : nullptr;
    };

    std::vector<Entry> entries;
    for (auto& [id, row] : core.catalog.programs()) {
      if (isOwn(row)) continue;
      entries.push_back({&row, inKernel(id), id, typeName(static_cast<ProgramType>(row.type))});
    }
    if (filter.getAll())
      for (auto& program : seen) {
        bool listed = false;
        KJ_IF_MAYBE (row, core.catalog.program(program.id)) listed = !isOwn(*row);
        if (!listed) entries.push_back({nullptr, &program, program.id, programTypeName(program.type)});
      }
    std::erase_if(entries, [&](const Entry& entry) { return !wanted(entry, filter); });
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });

    auto out = context.getResults().initPrograms(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      const Entry& entry = entries[i];
      auto item = out[i];
      item.setId(entry.id);
      item.setManaged(entry.row != nullptr);
      item.setType(entry.type);
      if (entry.kernel != nullptr) describe(*entry.kernel, moment, item.initKernel());
      if (entry.row == nullptr) {
        item.setFunctionName(item.getKernel().getName());
        continue;
      }
      item.setFunctionName(entry.row->name.c_str());
      item.setApplication(entry.row->application.c_str());
      auto links = core.catalog.linksOf(entry.id);
      auto ids = item.initLinkIds(links.size());
      for (size_t j = 0; j < links.size(); ++j) ids.set(j, links[j]->id);
      describe(core, *entry.row, item.initRecord());
    }
  }

  bool isOwn(const ProgramRow& row) {
    KJ_IF_MAYBE (load, core.catalog.load(row.load)) return load->own;
    return false;
  }
};

}  // namespace

schema::Programs::Client newPrograms(Connection& connection, SystemView& system) { return kj::heap<ProgramsServer>(connection, system); }

void takeGlobals(LoadWish& wish, capnp::List<schema::Global>::Reader list) {
  if (list.size() > limits::GLOBALS_PER_LOAD) refuse("at most ", limits::GLOBALS_PER_LOAD, " global variables in one load");
  std::set<std::string> names;
  for (auto global : list) {
    auto value = global.getValue();
    auto json = global.getJson();
    if (kj::max(value.size(), json.size()) > limits::GLOBAL_BYTES)
      refuse("global variable ", global.getName(), ": more than ", limits::GLOBAL_BYTES, " bytes");
    std::string name = limitedText(global.getName(), "a variable's name");
    bool byType = json.size() > 0;
    if (byType && value.size() > 0) refuse("global variable ", name.c_str(), ": its bytes, or its value as JSON, not both");
    if (!names.insert(name).second) refuse("global variable ", name.c_str(), " is set twice");
    if (byType)
      wish.typed.emplace_back(name, std::string(json.begin(), json.size()));
    else
      wish.globals.emplace_back(name, std::string(reinterpret_cast<const char*>(value.begin()), value.size()));
  }
}

void takeMetadata(LoadWish& wish, capnp::List<schema::KeyValue>::Reader metadata, capnp::Text::Reader application) {
  wish.metadata = pairsFrom(metadata);
  wish.application = limitedText(application, "the application's name");
  if (wish.application.empty()) return;
  for (auto& [key, value] : wish.metadata)
    if (key == "bpfman.io/application") return void(value = wish.application);
  wish.metadata.emplace_back("bpfman.io/application", wish.application);
}

void requireMayLoad(Connection& connection, LoadWish& wish, TypeSet types) {
  uint32_t mine = mostPrograms(wish);
  for (auto& [id, row] : connection.core.catalog.loads())
    if (row.uid == wish.uid && !row.own) mine += connection.core.catalog.programsOf(id).size();
  connection.rights.requireLoad(types, mine);
  wish.maxMapBytes = kj::min(connection.rights.maxMapBytes(types, mine), connection.core.options.ceiling.maxMapBytes);
  auto requireMaps = [&rights = connection.rights](uint32_t uid) {
    rights.requireMap(MapRight::read, uid);
    rights.requireMap(MapRight::write, uid);
  };
  wish.requireSharing = [requireMaps, uid = wish.uid]() { requireMaps(uid); };
  if (wish.mapOwner == 0) return;
  KJ_IF_MAYBE (owner, connection.core.catalog.program(wish.mapOwner)) {
    requireMaps(KJ_ASSERT_NONNULL(connection.core.catalog.load(owner->load)).uid);
  }
}

kj::Promise<SealedObject> objectFrom(Connection& connection, schema::Bytecode::Reader bytecode) {
  if (bytecode.isUploaded()) {
    auto found = connection.uploads.find(bytecode.getUploaded());
    if (found == connection.uploads.end())
      refuse("there is no upload ", bytecode.getUploaded(), " on this connection, or it was used already");
    SealedObject object = kj::mv(found->second);
    connection.uploads.erase(found);
    --connection.uploadsBegun;
    return kj::mv(object);
  }
  return descriptorOf(bytecode.getMemfd(), "the bytecode").then([&connection](kj::AutoCloseFd fd) {
    return connection.core.intake.object(kj::mv(fd));
  });
}

Pairs pairsFrom(capnp::List<schema::KeyValue>::Reader list) {
  Pairs pairs;
  size_t bytes = 0;
  for (auto pair : list) {
    bytes += pair.getKey().size() + pair.getValue().size();
    pairs.emplace_back(pair.getKey().cStr(), pair.getValue().cStr());
  }
  if (pairs.size() > limits::METADATA_PAIRS || bytes > limits::METADATA_BYTES)
    refuse("too much metadata: at most ", limits::METADATA_PAIRS, " pairs, ", limits::METADATA_BYTES, " bytes together");
  return pairs;
}

kj::Promise<kj::AutoCloseFd> descriptorOf(schema::Descriptor::Client client, kj::StringPtr what) {
  auto promise = client.getFd();
  return promise.attach(kj::mv(client)).then([what](kj::Maybe<int> fd) {
    KJ_IF_MAYBE (descriptor, fd) {
      int copy;
      KJ_SYSCALL(copy = fcntl(*descriptor, F_DUPFD_CLOEXEC, 3));
      return kj::AutoCloseFd(copy);
    }
    refuse(what, ": no descriptor came with the call; the client must pass one beside the capability");
  });
}

}  // namespace bpfman
