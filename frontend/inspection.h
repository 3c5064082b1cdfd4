// A loader that holds the kept bytecode of a program of ours, and says what is in it.
#pragma once

#include "frontend/core.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"

namespace bpfman {

class Inspection {
 public:
  Inspection(Core& core, uint32_t program, kj::WaitScope& scope)
      : object(core.loads.bytecodeOf(program)), loader(core.loads.inspector(never, scope)) {
    job.setInspectOnly(true);
    job.setKernelRelease(releaseOfKernel());
  }

  schema::LoadResult::Done::Reader ask() {
    int files[1] = {object.fd()};
    auto result = loader->ask(message, files);
    KJ_IF_MAYBE (refused, refusalOf(result)) refuse(refused->reason.c_str());
    return result.getDone();
  }

 private:
  Cancellation never;
  SealedObject object;
  kj::Own<LoaderJob> loader;
  capnp::MallocMessageBuilder message;

 public:
  schema::LoadJob::Builder job = message.initRoot<schema::LoadJob>();
};

}  // namespace bpfman
