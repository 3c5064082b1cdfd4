// A load for tests: the real loader binary, and the worker's real session in a process of its own, with the capabilities of whoever runs
// the test (root). What the frontend would do is the test's part.
#pragma once

#include <string>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/io.h>
#include <linux/bpf.h>

#include "schema/loader.capnp.h"
#include "schema/worker.h"

namespace bpfman {

std::vector<unsigned char> example(const std::string& name);  // examples/bpf/NAME.bpf.o of this build

struct TestWish {
  std::string name;
  uint32_t type = BPF_PROG_TYPE_XDP, expectedAttachType = BPF_XDP;
  std::string family = "xdp";
  std::string attachTo = "";
  uint32_t attachBtfId = 0;
};

class TestLoad {
 public:
  explicit TestLoad(std::vector<TestWish> wishes);
  ~TestLoad() noexcept(false);
  KJ_DISALLOW_COPY(TestLoad);

  std::vector<TestWish> wishes;
  std::vector<std::pair<std::string, std::vector<unsigned char>>> globals;
  std::vector<std::string> reuse, shared;  // all of them are loads/1/m0: a per-CPU array of one 8-byte element
  bool inspectOnly = false, toSign = false;
  std::string kernelRelease;
  wire::Grant grant{};

  schema::LoadResult::Reader run(const std::vector<unsigned char>& object);
  bool loaderEnded = false;         // instead of an answer
  std::vector<std::string> wanted;  // functions and variables that the loader asked modules for; it gets none
  bpf_prog_info programInfo(uint32_t handle) { return info<bpf_prog_info>(handle); }
  bpf_map_info mapInfo(uint32_t handle) { return info<bpf_map_info>(handle); }
  size_t residentKib() const;  // PSS of the loader
  double seconds = 0;          // job sent to answer

 private:
  kj::AutoCloseFd job, session;
  pid_t loaderProcess = 0, sessionProcess = 0;
  bool granted = false;
  kj::Array<capnp::word> words;
  kj::Own<capnp::FlatArrayMessageReader> message;

  void sendJob(const std::vector<unsigned char>& object);
  void sendLargeJob(int object, int words);
  std::vector<unsigned char> ask(wire::Op op, const void* fixed, size_t size);
  template <typename T>
  T info(uint32_t handle) {
    wire::Handle wish{handle};
    auto bytes = ask(wire::Op::inspectHandle, &wish, sizeof wish);
    T result{};
    size_t skip = sizeof(wire::Reply) + sizeof(wire::ObjectInfo);
    if (bytes.size() >= skip + sizeof result) memcpy(&result, bytes.data() + skip, sizeof result);
    return result;
  }
};

}  // namespace bpfman
