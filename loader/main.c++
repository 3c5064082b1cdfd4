// The loader: ordinary libbpf on a client's bytecode, in a process that can do nothing but ask its load session, object by object, for
// what the bytecode needs. Or instead, as it is such a process, one run of a program that calls the kernel. Descriptors:
// schema/descriptors.h.
#include <fcntl.h>

#include <kj/debug.h>

#include "loader/confinement.h"
#include "loader/job.h"
#include "loader/object.h"
#include "loader/refusal.h"
#include "loader/run.h"
#include "schema/descriptors.h"

namespace bpfman {

static void fail(schema::LoadResult::Builder result, const Refusal& refusal) {
  auto failure = result.initFailed();
  failure.setReason(refusal.reason.c_str());
  failure.setErrno(refusal.error);
  failure.setVerifierLog(refusal.verifierLog.c_str());
  failure.setSummary(refusal.summary.c_str());
}

static void perform(ReceivedJob& received, Session& session, const Files& files, schema::LoadResult::Builder result) {
  try {
    BpfObject object(received.object(), received.get());
    if (!received.get().getInspectOnly()) object.load(session, files);
    object.describe(result.initDone());
  } catch (const Refusal& refusal) { fail(result, refusal); }
}

static int serve() {
  // 1. Limits, and the one thing to know about the machine that only its files say.
  limitResources();
  int kernelBtf = fcntl(wire::fd::loader::kernelBtf, F_GETFD) < 0 ? -1 : wire::fd::loader::kernelBtf;
  std::string possibleCpus = readPossibleCpus();
  SocketSession session{kj::AutoCloseFd(wire::fd::loader::session)};
  JobSocket jobs{kj::AutoCloseFd(wire::fd::control)};

  // 2. From here on nothing but the two sockets and memory.
  confine();

  // 3. One job, and less than before to do it with. Looking at the object may come before its load.
  bool first = true;
  for (;;) {
    KJ_IF_MAYBE (job, jobs.receive()) {
      schema::LoadJob::Reader wanted = (*job)->get();
      capnp::MallocMessageBuilder message;
      auto result = message.initRoot<schema::LoadResult>();
      KJ_REQUIRE(first || !wanted.getRun(), "a program to be run beside an object");
      if (first) wanted.getRun() ? confineToRunning() : confineToLoading();
      if (wanted.getRun())
        runOnce((*job)->program(), wanted.getContext(), result);
      else
        perform(**job, session, Files(kernelBtf, possibleCpus, (*job)->otherTypes()), result);
      jobs.answer(message);
      if (!wanted.getInspectOnly()) return 0;
      first = false;
    } else {
      return 0;
    }
  }
}

}  // namespace bpfman

int main() {
  int result = 70;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { result = bpfman::serve(); })) KJ_LOG(ERROR, *exception);
  return result;
}
