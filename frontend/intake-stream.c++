#include "frontend/intake-stream.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <deque>

#include <kj/debug.h>

#include "frontend/limits.h"

namespace bpfman {
namespace {

kj::AutoCloseFd standIn() {
  int result;
  KJ_SYSCALL(result = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return kj::AutoCloseFd(result);
}

class GuardedStream final : public kj::AsyncCapabilityStream {
 public:
  GuardedStream(kj::Own<kj::AsyncCapabilityStream> stream, Intake& intake, uint32_t uid)
      : inner(kj::mv(stream)), intake(intake), uid(uid) {}
  ~GuardedStream() noexcept(false) {
    for (uint64_t each : contexts) intake.contexts.drop(each);
  }

  kj::Promise<ReadResult> tryReadWithFds(void* buffer, size_t minBytes, size_t maxBytes, kj::AutoCloseFd* fds, size_t maxFds) override {
    return afterWrite().then([this, buffer, minBytes, maxBytes, fds, maxFds]() {
      return fill({static_cast<kj::byte*>(buffer), minBytes, maxBytes, fds, maxFds}, {0, 0});
    });
  }

  kj::Promise<size_t> tryRead(void* buffer, size_t minBytes, size_t maxBytes) override {
    return afterWrite().then([this, buffer, minBytes, maxBytes]() { return inner->tryRead(buffer, minBytes, maxBytes); });
  }
  kj::Promise<void> write(const void* buffer, size_t size) override { return noted(inner->write(buffer, size)); }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override { return noted(inner->write(pieces)); }
  kj::Promise<void> whenWriteDisconnected() override { return inner->whenWriteDisconnected(); }
  void shutdownWrite() override { inner->shutdownWrite(); }
  void abortRead() override { inner->abortRead(); }
  kj::Promise<void> writeWithFds(kj::ArrayPtr<const kj::byte> data, kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> moreData,
                                 kj::ArrayPtr<const int> fds) override {
    return noted(inner->writeWithFds(data, moreData, fds));
  }
  kj::Promise<void> writeWithStreams(kj::ArrayPtr<const kj::byte> data, kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> moreData,
                                     kj::Array<kj::Own<kj::AsyncCapabilityStream>> streams) override {
    return inner->writeWithStreams(data, moreData, kj::mv(streams));
  }
  kj::Promise<ReadResult> tryReadWithStreams(void*, size_t, size_t, kj::Own<kj::AsyncCapabilityStream>*, size_t) override {
    KJ_UNIMPLEMENTED("clients pass no streams");
  }

 private:
  struct Wish {
    kj::byte* buffer;
    size_t minBytes, maxBytes;
    kj::AutoCloseFd* fds;
    size_t maxFds;
  };
  static constexpr size_t AT_ONCE = limits::DESCRIPTORS_PER_MESSAGE;
  static_assert(AT_ONCE % 2 == 0, "with an odd number the control buffer's padding has room for one more, which kj would close itself");

  kj::Own<kj::AsyncCapabilityStream> inner;
  Intake& intake;
  const uint32_t uid;
  kj::AutoCloseFd received[AT_ONCE];
  std::deque<uint64_t> contexts;  // that it passed; those that were taken are not ours any more
  kj::Maybe<kj::ForkedPromise<void>> writing;

  kj::AutoCloseFd keepContext(kj::AutoCloseFd context) {
    auto kept = intake.contexts.keep(kj::mv(context), uid);
    contexts.push_back(kept.number);
    if (contexts.size() > Contexts::PASSED) {
      intake.contexts.drop(contexts.front());
      contexts.pop_front();
    }
    return kj::mv(kept.standIn);
  }

  // A client that does not take its answers is not heard until it does: they would pile up here.
  kj::Promise<void> afterWrite() {
    KJ_IF_MAYBE (w, writing) return w->addBranch().catch_([](kj::Exception&&) {});
    return kj::READY_NOW;
  }
  kj::Promise<void> noted(kj::Promise<void> write) {
    auto fork = write.fork();
    auto branch = fork.addBranch();
    writing = kj::mv(fork);
    return branch;
  }

  // One recvmsg at a time, each with room for the same even number, since kj closes what it has no room for.
  kj::Promise<ReadResult> fill(Wish wish, ReadResult soFar) {
    return inner->tryReadWithFds(wish.buffer + soFar.byteCount, 1, wish.maxBytes - soFar.byteCount, received, AT_ONCE)
        .then([this, wish, soFar](ReadResult got) -> kj::Promise<ReadResult> {
          ReadResult sum{soFar.byteCount + got.byteCount, soFar.capCount};
          for (auto& descriptor : kj::arrayPtr(received, got.capCount)) {
            bool wanted = sum.capCount < wish.maxFds;
            if (!intake.harmless(descriptor)) {
              if (wanted && Contexts::isContext(descriptor)) {
                descriptor = keepContext(kj::mv(descriptor));
              } else {
                intake.closer().close(kj::mv(descriptor), uid);
                if (wanted) descriptor = standIn();
              }
            }
            if (wanted)
              wish.fds[sum.capCount++] = kj::mv(descriptor);
            else
              descriptor = nullptr;
          }
          KJ_REQUIRE(intake.closer().waiting(uid) <= limits::CLOSERS, "too many descriptors of this user don't answer", uid);
          if (got.byteCount == 0 || sum.byteCount >= wish.minBytes) return sum;
          return fill(wish, sum);
        });
  }
};

}  // namespace

kj::Own<kj::AsyncCapabilityStream> guard(kj::Own<kj::AsyncCapabilityStream> stream, Intake& intake, uint32_t uid) {
  return kj::heap<GuardedStream>(kj::mv(stream), intake, uid);
}

}  // namespace bpfman
