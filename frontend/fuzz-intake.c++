// libFuzzer: what clients hand over. Descriptors of every kind and seal against the intake, and uploads in pieces against a model of one.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <kj/exception.h>

#include "frontend/intake.h"
#include "frontend/limits.h"
#include "tests/fuzz.h"

namespace bpfman {
namespace {

constexpr int ALL = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

struct Handed {
  kj::AutoCloseFd descriptor;
  bool memory = false, network = false;  // what it is in truth
  uint64_t size = 0;
  int seals = 0;
};

Handed memory(FuzzInput& input) {
  Handed handed{kj::AutoCloseFd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING)), true};
  constexpr uint64_t SIZES[] = {0, 1, limits::OBJECT_BYTES, limits::OBJECT_BYTES + 1, 1ull << 40};
  handed.size = input.byte() & 1 ? input.pick(SIZES) : input.take<uint16_t>();
  FUZZ_REQUIRE(ftruncate(handed.descriptor, handed.size) == 0);
  handed.seals = input.byte() & 1 ? ALL : input.byte() & 0x1f;
  if (handed.seals && fcntl(handed.descriptor, F_ADD_SEALS, handed.seals) != 0) handed.seals = 0;
  return handed;
}

Handed anything(FuzzInput& input) {
  int pair[2];
  switch (input.byte() % 16) {
    case 0: return {kj::AutoCloseFd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)), false, true};
    case 1: return {kj::AutoCloseFd(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC))};
    case 2: return {kj::AutoCloseFd(open("/dev/null", O_RDONLY | O_CLOEXEC))};
    case 3: return {kj::AutoCloseFd(open("/", O_RDONLY | O_CLOEXEC))};
    case 4: return {kj::AutoCloseFd(open("/proc/self/ns/net", O_PATH | O_CLOEXEC))};
    case 5: return {kj::AutoCloseFd(eventfd(0, EFD_CLOEXEC))};
    case 6:
      FUZZ_REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
      close(pair[0]);
      return {kj::AutoCloseFd(pair[1])};
    case 7: return {kj::AutoCloseFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    default: return memory(input);
  }
}

template <typename Do>
bool accepted(Do&& act) {
  try {
    act();
    return true;
  } catch (const kj::Exception& refusal) {
    FUZZ_REQUIRE(refusal.getDescription().size() > 20);
    return false;
  }
}

void hand(FuzzInput& input, Intake& intake) {
  Handed handed = anything(input);
  FUZZ_REQUIRE(handed.descriptor.get() >= 0);
  uint64_t size = handed.size;
  bool fits = handed.memory && (handed.seals & ALL) == ALL && size >= 1 && size <= limits::OBJECT_BYTES;
  if (handed.memory || handed.network) FUZZ_REQUIRE(intake.harmless(handed.descriptor));
  if (input.byte() & 1) {
    bool taken = accepted([&] {
      SealedObject object = intake.object(kj::mv(handed.descriptor));
      FUZZ_REQUIRE(object.size() == size && (fcntl(object.fd(), F_GET_SEALS) & ALL) == ALL);
    });
    FUZZ_REQUIRE(taken == fits, "size %llu, seals %#x", static_cast<unsigned long long>(size), handed.seals);
  } else {
    bool taken = accepted([&] { FUZZ_REQUIRE(!intake.networkNamespace(kj::mv(handed.descriptor)).ownedBy(0)); });
    FUZZ_REQUIRE(taken == handed.network || !handed.memory, "a namespace");
  }
}

void upload(FuzzInput& input) {
  constexpr uint64_t SIZES[] = {0, limits::OBJECT_BYTES, limits::OBJECT_BYTES + 1, ~0ull};
  uint64_t announced = input.rarely() ? input.pick(SIZES) : input.byte();
  std::string model;
  bool possible = accepted([&] {
    Upload upload(announced);
    for (int pieces = input.byte() % 8; pieces > 0; --pieces) {
      auto piece = input.bytes(input.byte());
      bool fits = model.size() + piece.size() <= announced;
      FUZZ_REQUIRE(accepted([&] { upload.write({piece.data(), piece.size()}); }) == fits);
      if (fits) model.append(piece.begin(), piece.end());
    }
    bool whole = accepted([&] {
      SealedObject object = upload.finish();
      std::string there(announced, '?');
      FUZZ_REQUIRE(object.size() == announced && pread(object.fd(), there.data(), announced, 0) == ssize_t(announced) && there == model);
      char more = 0;
      FUZZ_REQUIRE(pwrite(object.fd(), &more, 1, 0) < 0 && ftruncate(object.fd(), 0) < 0, "it can still be changed");
    });
    FUZZ_REQUIRE(whole == (model.size() == announced));
    if (whole) FUZZ_REQUIRE(!accepted([&] { upload.finish(); }), "it was finished twice");
  });
  FUZZ_REQUIRE(possible == (announced >= 1 && announced <= limits::OBJECT_BYTES));
}

}  // namespace
}  // namespace bpfman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bpfman;
  static Intake& intake = *new Intake;  // its threads go on
  OpenDescriptors descriptors;
  FuzzInput input(data, size);
  for (int things = 0; !input.empty() && things < 8; ++things) {
    if (input.byte() & 1)
      upload(input);
    else
      hand(input, intake);
  }
  while (intake.closer().waiting() > 0) std::this_thread::yield();
  descriptors.tidy(false);
  return 0;
}
