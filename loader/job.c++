#include "loader/job.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kj/debug.h>

#include "loader/packets.h"
#include "schema/worker.h"

namespace bpfman {

namespace {

constexpr size_t MAX_JOB = 64 << 20, MAX_OBJECT = 16 << 20;

struct Unmap : kj::ArrayDisposer {
  void disposeImpl(void* first, size_t elementSize, size_t, size_t capacity, void (*)(void*)) const override {
    munmap(first, elementSize * capacity);
  }
};
const Unmap UNMAP;

kj::Array<unsigned char> map(int fd, size_t limit) {
  struct stat status;
  KJ_SYSCALL(fstat(fd, &status));
  size_t size = status.st_size;
  KJ_REQUIRE(size <= limit, "too large", size);
  if (size == 0) return nullptr;
  int seals = fcntl(fd, F_GET_SEALS);
  KJ_REQUIRE(seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_WRITE), "bytecode must be in a sealed memfd");
  void* bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) KJ_FAIL_SYSCALL("mmap", errno);
  return {static_cast<unsigned char*>(bytes), size, UNMAP};
}

kj::Array<capnp::word> aligned(const unsigned char* bytes, size_t size) {
  auto words = kj::heapArray<capnp::word>(size / sizeof(capnp::word));
  memcpy(words.begin(), bytes, words.asBytes().size());
  return words;
}

}  // namespace

ReceivedJob::ReceivedJob(kj::AutoCloseFd given, kj::AutoCloseFd types, kj::Array<capnp::word> received)
    : given(kj::mv(given)),
      types(kj::mv(types)),
      words(kj::mv(received)),
      message(words, capnp::ReaderOptions{MAX_JOB / sizeof(capnp::word), 16}),
      job(message.getRoot<schema::LoadJob>()),
      bytes(job.getRun() ? nullptr : map(this->given, MAX_OBJECT)) {
  KJ_REQUIRE(job.getOtherTypes() == (this->types.get() >= 0), "a job with other files than it says");
}

kj::Maybe<kj::Own<ReceivedJob>> JobSocket::receive() {
  auto buffer = kj::heapArray<unsigned char>(wire::MAX_MESSAGE);
  ReceivedPacket packet = receivePacket(socket, {buffer.begin(), buffer.size()});
  if (packet.ended()) return nullptr;
  size_t files = packet.descriptors.size() - (packet.size ? 0 : 1);
  KJ_REQUIRE(files == 1 || files == 2, "a job without what it is about");
  kj::Array<capnp::word> words;
  if (packet.size) {
    words = aligned(buffer.begin(), packet.size);
  } else {
    auto bytes = map(packet.descriptors[files], MAX_JOB);
    words = aligned(bytes.begin(), bytes.size());
  }
  kj::AutoCloseFd types;
  if (files == 2) types = kj::mv(packet.descriptors[1]);
  return kj::heap<ReceivedJob>(kj::mv(packet.descriptors[0]), kj::mv(types), kj::mv(words));
}

void JobSocket::answer(capnp::MessageBuilder& result) {
  auto words = capnp::messageToFlatArray(result);
  std::span<const unsigned char> bytes(words.asBytes().begin(), words.asBytes().size());
  if (bytes.size() <= wire::MAX_MESSAGE)
    sendPacket(socket, {bytes}, nullptr);
  else
    sendPacket(socket, {}, sealedMemfd("answer", {bytes}).get());
}

}  // namespace bpfman
