#include "frontend/loader-job.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <kj/debug.h>

#include "frontend/intake.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr size_t MAX_RESULT = 4 << 20;  // bytes of a loader's answer

kj::Array<capnp::word> wordsOf(Packet& packet) {
  size_t size = packet.bytes.size();
  auto words = [](size_t bytes) {
    KJ_REQUIRE(bytes > 0 && bytes % sizeof(capnp::word) == 0 && bytes <= MAX_RESULT, "malformed answer from the loader");
    return kj::heapArray<capnp::word>(bytes / sizeof(capnp::word));
  };
  if (packet.descriptors.size() == 0) {
    auto result = words(size);
    memcpy(result.begin(), packet.bytes.begin(), size);
    return result;
  }
  struct stat status;  // a memfd: only the loader, which has no file system, can have sent it
  KJ_SYSCALL(fstat(packet.descriptors[0], &status));
  auto result = words(status.st_size);
  ssize_t got;
  KJ_SYSCALL(got = pread(packet.descriptors[0], result.begin(), status.st_size, 0));
  KJ_REQUIRE(got == status.st_size, "malformed answer from the loader");
  return result;
}

}  // namespace

schema::LoadResult::Reader LoaderJob::ask(capnp::MessageBuilder& job, kj::ArrayPtr<const int> files) {
  auto flat = capnp::messageToFlatArray(job);
  auto what = job.getRoot<schema::LoadJob>().asReader().getRun() ? "the program"_kj : "the kernel's verifier"_kj;
  auto bytes = flat.asBytes();
  Packet packet = [&]() {
    if (bytes.size() <= wire::MAX_MESSAGE) return waitFor(pair.job->call(bytes, files), what);
    Upload upload(bytes.size());
    upload.write(bytes);
    SealedObject sealed = upload.finish();
    kj::Vector<int> with;
    with.addAll(files);
    with.add(sealed.fd());
    return waitFor(pair.job->call(nullptr, with), what);
  }();
  words = wordsOf(packet);
  answer = kj::heap<capnp::FlatArrayMessageReader>(words, capnp::ReaderOptions{MAX_RESULT / sizeof(capnp::word), 16});
  return answer->getRoot<schema::LoadResult>();
}

// Until the loader answers, or the time is up, or nobody wants it any more.
Packet LoaderJob::waitFor(kj::Promise<Packet> answer, kj::StringPtr what) {
  auto late = timer.afterDelay(patience).then([this, what]() -> kj::Promise<Packet> {
    end(kj::str("cancelled: ", what, " needed more than ", patience / kj::SECONDS, " s"));
    return KJ_EXCEPTION(OVERLOADED, "late");  // a program that runs ends when it likes, and its loader not before
  });
  cancellation.kill = kj::Function<void()>([this]() { end(kj::str("cancelled")); });
  KJ_DEFER(cancellation.kill = nullptr);
  if (cancellation.cancelled) end(kj::str("cancelled"));
  kj::Maybe<Packet> packet;
  kj::Maybe<kj::Exception> failure = kj::runCatchingExceptions([&]() { packet = answer.exclusiveJoin(kj::mv(late)).wait(scope); });
  KJ_IF_MAYBE (reason, stopped) refuse(kj::Exception::Type::OVERLOADED, kj::mv(*reason));
  KJ_IF_MAYBE (exception, failure) {
    if (exception->getType() != kj::Exception::Type::DISCONNECTED) kj::throwFatalException(kj::mv(*exception));
    refuse("the loader ended on this object: it is malformed, or needs something that bpfman does not allow (see the daemon's log)");
  }
  return kj::mv(KJ_ASSERT_NONNULL(packet));
}

void LoaderJob::end(kj::String reason) {
  if (stopped != nullptr) return;
  stopped = kj::mv(reason);
  pair.place->worker.call(wire::Op::endSession, wire::Session{pair.number, 0})
      .ignoreResult()
      .attach(kj::addRef(*pair.place))
      .detach([](kj::Exception&&) {});
}

kj::Maybe<Refused> refusalOf(schema::LoadResult::Reader result) {
  if (!result.isFailed()) return nullptr;
  auto failed = result.getFailed();
  return Refused{failed.getReason().cStr(), failed.getVerifierLog().cStr(), failed.getSummary().cStr()};
}

kj::String releaseOfKernel() {
  utsname name;
  KJ_SYSCALL(uname(&name));
  return kj::str(name.release);
}

}  // namespace bpfman
