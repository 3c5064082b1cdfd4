// A program that a client loaded itself becomes a load of its own, by a pin: no bytecode, no maps. What it is the kernel says once it is
// pinned; what the kernel does not tell, its attach type, it holds against each attach.
#include <linux/bpf.h>

#include <kj/debug.h>
#include <kj/encoding.h>

#include "frontend/kernel-names.h"
#include "frontend/load.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr const char* TAKEN = "taken";

// The client's name for it, which may be longer than the kernel's.
std::string nameOf(const bpf_prog_info& info, const std::string& given) {
  std::string kernel(info.name, strnlen(info.name, sizeof info.name));
  if (given.empty() && kernel.empty()) refuse("program ", info.id, " has no name in the kernel: give it one (--name)");
  bool agrees = kernel.size() + 1 < sizeof info.name ? given == kernel : given.starts_with(kernel);
  if (!given.empty() && !kernel.empty() && !agrees) refuse("program ", info.id, " is called ", kernel.c_str(), ", not ", given.c_str());
  return given.empty() ? kernel : given;
}

ProgramRow rowOf(const LoadWish& wish, uint32_t load, const bpf_prog_info& info, uint32_t target) {
  const WantedProgram& wanted = wish.programs[0];
  if (info.type != wanted.kernelType)
    refuse("program ", info.id, " is of the kernel's type ", programTypeName(info.type), "; ", wanted.family.c_str(),
           " programs are of type ", programTypeName(wanted.kernelType));
  if (info.attach_btf_id != target)
    refuse("program ", info.id, " was not loaded for ", wanted.attachTo.c_str(), ", but for another one (BTF id ", info.attach_btf_id,
           ", not ", target, ')');
  if (info.ifindex != 0) refuse("program ", info.id, " is bound to one device, which only its loader can attach it to");
  ProgramRow row;
  row.id = info.id;
  row.load = load;
  row.name = nameOf(info, wanted.name);
  row.type = wanted.type;
  row.attachTo = wanted.attachTo;
  row.metadata = wish.metadata;
  row.application = wish.application;
  row.gplCompatible = info.gpl_compatible;
  row.tag = kj::encodeHex(kj::arrayPtr(info.tag, sizeof info.tag)).cStr();
  return row;
}

// The number of the kernel's own BTF, which our iterators are for: other BTF, of a program or a module, has the same numbers for other
// things.
uint32_t kernelBtf(const Catalog& catalog, Place& place, kj::WaitScope& scope) {
  for (auto& [id, row] : catalog.programs()) {
    if (row.attachTo != "bpf_prog" || !KJ_ASSERT_NONNULL(catalog.load(row.load)).own) continue;
    auto seen = place.worker.call(wire::Op::inspect, loadedProgram(row.load, row.index)).wait(scope);
    requireOk(seen, "look at an iterator");
    return infoOf<bpf_prog_info>(seen).attach_btf_obj_id;
  }
  refuse(
      "programs that were loaded for a function are not taken here: the daemon has no iterators, by which it knows the kernel's own types");
}

}  // namespace

bool isTaken(const LoadRow& load) { return load.purpose == TAKEN; }

uint32_t Loads::take(LoadWish wish, int program, kj::WaitScope& scope) {
  uint32_t target = kernelTargetOf(wish.programs[0]).id, id = 0;
  wish.purpose = TAKEN;
  LoadRow row = begin(wish);
  auto failure = kj::runCatchingExceptions([&]() {
    auto place = workers.host(scope);
    wire::Pin pin = loadedProgram(row.load, 0);
    auto pinned = place->worker.call(wire::Op::publish, wire::Publish{{}, pin}, nullptr, kj::arrayPtr(&program, 1)).wait(scope);
    if (pinned.result == -EPERM)
      refuse("the host's ceiling does not allow programs of this one's type (ceiling.program_types in bpfman.toml)");
    requireOk(pinned, "pin the program");
    auto seen = place->worker.call(wire::Op::inspect, pin).wait(scope);
    requireOk(seen, "look at the program");
    auto info = infoOf<bpf_prog_info>(seen);
    ProgramRow taken = rowOf(wish, row.load, info, target);
    if (target != 0 && info.attach_btf_obj_id != kernelBtf(catalog, *place, scope))
      refuse("program ", info.id,
             " was loaded for a function of another program or of a module: only those for the kernel's own are taken");
    if (catalog.program(taken.id) != nullptr) refuse("program ", taken.id, " is bpfman's already");
    row.state = LoadRow::loaded;
    catalog.putLoaded(row, {taken});
    publish(row.load, scope);
    id = taken.id;
  });
  if (failure != nullptr) undo(row.load, scope);
  KJ_IF_MAYBE (exception, failure) kj::throwFatalException(kj::mv(*exception));
  return id;
}

void Loads::requireObject(uint32_t program, kj::StringPtr what) const {
  KJ_IF_MAYBE (row, catalog.program(program))
    KJ_IF_MAYBE (load, catalog.load(row->load))
      if (isTaken(*load))
        refuse("program ", program, " was loaded by somebody else and handed over: bpfman has neither its bytecode nor its maps, so ",
               what);
}

}  // namespace bpfman
