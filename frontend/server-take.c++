// Programs.take: the program comes as a descriptor, which says that the client has it. Whether he may have bpfman attach it the policy
// says.
#include <kj/debug.h>

#include "frontend/describe.h"
#include "frontend/hook.h"
#include "frontend/limited-text.h"
#include "frontend/memory.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

LoadWish wishFrom(Connection& connection, schema::TakeOptions::Reader options) {
  LoadWish wish;
  auto type = options.getType();
  auto name = limitedText(options.getName(), "a program's name"), attachTo = limitedText(options.getAttachTo(), "an attach target");
  KJ_IF_MAYBE (row, rowOf(type))
    wish.programs.push_back({static_cast<uint16_t>(type), name, attachTo, row->name.cStr(), row->kernelType, row->expectedAttachType});
  else
    refuse("this version has no programs of type ", typeName(type));
  takeMetadata(wish, options.getMetadata(), options.getApplication());
  wish.sourcePath = limitedText(options.getSourcePath(), "the source path", limits::PATH_BYTES);
  wish.uid = connection.uid();
  wish.request = connection.requestKey(options.getRequestId());
  requireMayLoad(connection, wish, setOf({type}));
  return wish;
}

// A retry, after the answer to the first try was lost. 0: there was none.
uint32_t takenBefore(Core& core, const std::string& request) {
  KJ_IF_MAYBE (load, core.catalog.loadOf(request))
    if (load->state == LoadRow::loaded && isTaken(*load)) return core.catalog.programsOf(load->load)[0]->id;
  return 0;
}

}  // namespace

kj::Promise<void> takeProgram(Holding& connection, TakeContext context) {
  auto params = context.getParams();
  connection->requireCapabilities(1);
  auto wish = kj::heap<LoadWish>(wishFrom(*connection, params.getOptions()));
  return descriptorOf(params.getProgram(), "the program").then([&connection, context, wish = kj::mv(wish)](kj::AutoCloseFd given) mutable {
    auto program = connection->core.intake.program(kj::mv(given));
    return connection.change(
        "take", [&connection, context, wish = kj::mv(wish), program = kj::mv(program)](kj::WaitScope& scope, AuditLine& line) mutable {
          Core& core = connection->core;
          line.what = wish->sourcePath;
          line.request = wish->request;
          kj::Maybe<Locks::Turn> turn;
          if (!wish->request.empty()) turn = core.locks.take("request:" + wish->request, scope);
          uint32_t id = takenBefore(core, wish->request);
          if (id != 0) {
            line.what += " (again)";
          } else {
            id = core.loads.take(*wish, program, scope);
            auto type = static_cast<schema::ProgramType>(wish->programs[0].type);
            KJ_IF_MAYBE (taken, core.catalog.program(id)) requireWithinMemory(*connection, taken->load, setOf({type}), scope);
          }
          line.programs = {id};
          describeProgram(core, id, context.getResults().initDetails(), scope);
          context.getResults().setProgram(newProgram(*connection, id));
        });
  });
}

}  // namespace bpfman
