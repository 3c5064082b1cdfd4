#include "frontend/settle-programs.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include <kj/debug.h>

#include "frontend/inspection.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

// The only type of these kernel numbers; else the one that is called as the section's first word, or as the family that the word stands
// for.
kj::Maybe<const ProgramTypeRow&> typeOf(schema::LoadResult::Loaded::Reader said) {
  auto fits = [&](auto& row) { return row.kernelType == said.getType() && row.expectedAttachType == said.getExpectedAttachType(); };
  if (std::ranges::count_if(programTypes(), fits) == 1) return *std::ranges::find_if(programTypes(), fits);
  std::string word = said.getSection().cStr();
  word.resize(std::min(word.size(), word.find_first_of("/@")));
  if (word.starts_with('?')) word.erase(0, 1);
  if (word.ends_with(".s")) word.resize(word.size() - 2);
  for (kj::StringPtr name : {kj::StringPtr(word.c_str()), kj::StringPtr(said.getFamily())})
    KJ_IF_MAYBE (type, typeNamed(name)) {
      auto& row = KJ_ASSERT_NONNULL(rowOf(*type));
      if (row.kernelType == said.getType()) return row;
    }
  return nullptr;
}

schema::LoadResult::Loaded::Reader namedIn(capnp::List<schema::LoadResult::Loaded>::Reader found, const std::string& name) {
  for (auto each : found)
    if (each.getName() == name.c_str()) return each;
  KJ_FAIL_REQUIRE("malformed answer from the loader");
}

void settle(WantedProgram& program, capnp::List<schema::LoadResult::Loaded>::Reader found) {
  auto said = namedIn(found, program.name);
  KJ_IF_MAYBE (row, typeOf(said)) {
    bool resolved = row->kernelType == BPF_PROG_TYPE_TRACING || row->kernelType == BPF_PROG_TYPE_LSM;
    std::string target = resolved && program.attachTo.empty() ? said.getAttachTo().cStr() : program.attachTo;
    program = {static_cast<uint16_t>(row->type), program.name, target, row->name.cStr(), row->kernelType, row->expectedAttachType};
    return;
  }
  refuse("section \"", said.getSection(), "\" of program ", said.getName(),
         " says no type that this version loads: name the programs that are to be loaded, with their types (--programs TYPE:NAME)");
}

}  // namespace

void aimAtPrograms(Core& core, const Rights& rights, LoadWish& wish, kj::WaitScope& scope) {
  for (auto& program : wish.programs) {
    bool traces = program.kernelType == BPF_PROG_TYPE_TRACING && program.expectedAttachType != BPF_TRACE_RAW_TP &&
                  program.expectedAttachType != BPF_TRACE_ITER;
    if (!traces || program.attachTo.empty() || !isdigit(static_cast<unsigned char>(program.attachTo[0]))) continue;
    if (program.attachTo.find(':') != program.attachTo.npos) continue;  // a module's name may begin with a digit
    uint32_t id = 0;
    const char* last = program.attachTo.data() + program.attachTo.size();
    auto [end, error] = std::from_chars(program.attachTo.data(), last, id);
    if (error != std::errc() || (end != last && *end != '/'))
      refuse("\"", program.attachTo.c_str(), "\": a program is named by its id, or ID/FUNCTION");
    if (wish.persistent) refuse("a persistent program can't be for program ", id, ", which has another id after a reboot");
    KJ_IF_MAYBE (row, core.catalog.program(id)) {
      rights.requireUnload(KJ_ASSERT_NONNULL(core.catalog.load(row->load)).uid);
      std::string function = end != last ? end + 1 : row->name;
      program.watched = {row->load, row->index, 0};
      Inspection inspection(core, id, scope);
      inspection.job.setListFunctions(true);
      for (auto each : inspection.ask().getFunctions())
        if (each.getName() == function.c_str()) program.watched.function = each.getId();
      if (program.watched.function == 0)
        refuse("program ", id, " has no global function \"", function.c_str(), "\", or its object no types");
    } else {
      refuseNoProgram(core, id);
    }
  }
}

bool mustSettle(const LoadWish& wish) { return wish.all || std::ranges::any_of(wish.programs, &WantedProgram::infer); }

void settlePrograms(Core& core, LoadWish& wish, const SealedObject& object, Cancellation& cancellation, kj::WaitScope& scope) {
  capnp::MallocMessageBuilder message;
  auto job = message.initRoot<schema::LoadJob>();
  job.setInspectOnly(true);
  job.setKernelRelease(releaseOfKernel());
  auto names = job.initPrograms(wish.programs.size());
  for (size_t i = 0; i < wish.programs.size(); ++i) names[i].setName(wish.programs[i].name.c_str());
  auto loader = core.loads.inspector(cancellation, scope);
  int files[1] = {object.fd()};
  auto result = loader->ask(message, files);
  KJ_IF_MAYBE (refused, refusalOf(result)) refuse(refused->reason.c_str());
  auto found = result.getDone().getPrograms();
  if (wish.all) {
    for (auto program : found)
      if (!program.getOptional()) wish.programs.push_back({0, program.getName().cStr(), "", "", 0, 0, 0, true});
    if (wish.programs.empty()) refuse("the object has no program that is loaded without being named (its sections begin with ?)");
    wish.all = false;
  }
  for (auto& program : wish.programs)
    if (program.infer) settle(program, found);
}

}  // namespace bpfman
