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

// The same job comes again, with those modules that have what is wanted. libbpf waits, so what fails counts as none: the job's giver is
// gone.
static std::vector<Module> modulesFor(const KernelNames& names, JobSocket& jobs, kj::Maybe<kj::Own<ReceivedJob>>& again) {
  std::vector<Module> modules;
  kj::runCatchingExceptions([&]() {
    capnp::MallocMessageBuilder message;
    auto wanting = message.initRoot<schema::LoadResult>().initWanting();
    auto put = [](const std::set<std::string>& from, capnp::List<capnp::Text>::Builder list) {
      for (size_t i = 0; auto& name : from) list.set(i++, name.c_str());
    };
    put(names.symbols, wanting.initSymbols(names.symbols.size()));
    put(names.types, wanting.initTypes(names.types.size()));
    jobs.answer(message);
    again = jobs.receive();
    KJ_IF_MAYBE (job, again)
      for (auto each : (*job)->get().getModules())
        modules.push_back({each.getName().cStr(), {each.getTypes().begin(), each.getTypes().size()}});
  });
  return modules;
}

static void perform(ReceivedJob& received, JobSocket& jobs, Session& session, const Files& files, schema::LoadResult::Builder result) {
  kj::Maybe<kj::Own<ReceivedJob>> again;
  try {
    BpfObject object(received.object(), received.get());
    if (!received.get().getInspectOnly())
      object.load(session, files, [&](const KernelNames& names) { return modulesFor(names, jobs, again); });
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
        perform(**job, jobs, session, Files(kernelBtf, possibleCpus, (*job)->otherTypes()), result);
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
