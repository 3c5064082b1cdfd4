#include "frontend/whereabouts.h"

#include <linux/bpf.h>
#include <poll.h>

#include <cstring>

#include <kj/debug.h>

#include "bpf/caller.h"
#include "frontend/overview.h"
#include "frontend/refuse.h"

extern "C" const unsigned char bpfman_caller[], bpfman_caller_end[];

namespace bpfman {

namespace {

constexpr const char* PURPOSE = "caller";
constexpr int TRIES = 5;  // each with another worker

kj::ArrayPtr<const kj::byte> object() { return kj::arrayPtr(bpfman_caller, bpfman_caller_end - bpfman_caller); }

}  // namespace

void Callers::install(kj::WaitScope& scope) {
  LoadWish wish;
  wish.purpose = purposeOf(PURPOSE, object());
  std::vector<uint32_t> old;
  for (auto& [id, row] : catalog.loads()) {
    if (!row.own || !kj::StringPtr(row.purpose.c_str()).startsWith(PURPOSE)) continue;
    if (row.purpose == wish.purpose && row.state == LoadRow::loaded)
      load = id;
    else
      old.push_back(id);
  }
  for (uint32_t id : old) loads.undo(id, scope);
  if (load != 0) return;
  wish.programs.push_back({0, "dump_caller", "task", "iter", BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER});
  LoadOutcome outcome = loads.loadOwn(wish, object(), scope);
  KJ_IF_MAYBE (refused, outcome.refused)
    refuse("this kernel refuses the iterator that shows where a caller is: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());
  load = outcome.load;
}

void Callers::settle(Identity& identity, kj::WaitScope& scope) {
  KJ_IF_MAYBE (process, identity.process) {
    auto failure = kj::runCatchingExceptions([&]() {
      KJ_IF_MAYBE (where, look(*process, scope)) identity.where = kj::mv(*where);
    });
    KJ_IF_MAYBE (exception, failure) identity.where.unknown = exception->getDescription().cStr();
  }
  if (identity.fixed) return;  // what its socket was given it has, wherever it is
  identity.caller.foreign = identity.where.unknown.empty() ? identity.where.userNamespace != hostUserNamespace : !identity.oldKernel;
}

// The iterator takes the process's number from the pidfd. As it still lives afterwards, that number was no other's meanwhile.
kj::Maybe<Whereabouts> Callers::look(int process, kj::WaitScope& scope) {
  const int with[1] = {process};
  wire::OpenIterator wish{loadedProgram(load, 0), {}};
  kj::Array<kj::byte> bytes;
  for (int tries = 1;; ++tries) {
    auto failure = kj::runCatchingExceptions([&]() {
      auto place = workers.host(scope);
      auto reply = place->worker.call(wire::Op::openIterator, wish, nullptr, with).wait(scope);
      if (reply.result == -ESRCH) return;
      requireOk(reply, "look where a caller is");
      auto read = readAll(KJ_REQUIRE_NONNULL(reply.descriptor));
      bytes = kj::heapArray<kj::byte>(reinterpret_cast<const kj::byte*>(read.data()), read.size());
    });
    KJ_IF_MAYBE (exception, failure) {
      if (exception->getType() != kj::Exception::Type::DISCONNECTED || tries == TRIES) kj::throwFatalException(kj::mv(*exception));
      continue;
    }
    break;
  }
  CallerRecord record{};
  if (bytes.size() == sizeof record) memcpy(&record, bytes.begin(), sizeof record);
  pollfd ended{process, POLLIN, 0};
  if (record.userNamespace == 0 || record.networkNamespace == 0 || poll(&ended, 1, 0) != 0) return nullptr;
  return Whereabouts{record.cgroup, record.userNamespace, record.networkNamespace, {}};
}

}  // namespace bpfman
