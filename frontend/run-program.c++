#include "frontend/run-program.h"

#include "frontend/limits.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"

namespace bpfman {

void runProgram(Core& core, const ProgramRow& program, capnp::Data::Reader context, schema::Program::RunResults::Builder results,
                kj::WaitScope& scope) {
  if (context.size() > limits::CONTEXT_BYTES) refuse("a context of ", context.size(), " bytes: at most ", limits::CONTEXT_BYTES);
  auto opened =
      core.workers.host(scope)->worker.call(wire::Op::openObject, wire::OpenObject{loadedProgram(program.load, program.index), 0, 0});
  auto reply = opened.wait(scope);
  requireOk(reply, "open the program");

  Cancellation never;
  auto loader = core.loads.inspector(never, scope);
  capnp::MallocMessageBuilder message;
  auto job = message.initRoot<schema::LoadJob>();
  job.setRun(true);
  job.setContext(context);
  int files[1] = {KJ_REQUIRE_NONNULL(reply.descriptor)};
  auto result = loader->ask(message, files);
  KJ_IF_MAYBE (refused, refusalOf(result)) refuse("program ", program.id, ": ", refused->reason.c_str());
  KJ_REQUIRE(result.isRan(), "malformed answer from the loader");
  auto ran = result.getRan();
  results.setResult(ran.getResult());
  results.setContext(ran.getContext());
}

}  // namespace bpfman
