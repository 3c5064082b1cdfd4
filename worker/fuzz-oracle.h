// What the kernel may be asked, said once more and independently of the worker's code: a Bpf between the worker and the recording one that
// ends the run at the first call that is not covered. It knows what was sent and what was answered, never the worker's own state.
#pragma once

#include "tests/fuzz.h"
#include "worker/recording-bpf.h"

namespace bpfman {

// Memory that a call names must be there. What a field says is taken out of the attribute; nothing may be left in it.
void requireMemory(uint64_t address, uint64_t size);
void requireNothingElse(const bpf_attr& attr);
template <typename T>
T takeOut(T& field) {
  return std::exchange(field, T{});
}
bool isPlainData(uint32_t mapType);  // a map whose keys and values are never descriptors
uint64_t kernelValueSize(uint32_t mapType, uint32_t valueSize, uint32_t cpus);

// A load session: its grant, its objects, one request at a time.
class SessionOracle final : public Bpf {
 public:
  explicit SessionOracle(const wire::Ceiling& ceiling) : ceiling(ceiling) {}

  RecordingBpf kernel;  // answers; set its failures and sizes
  int failing = 0;      // the how many-th call fails, besides

  void asked(wire::Op op, bool byLoader, std::vector<uint8_t> body, std::vector<uint8_t> blob);  // what the session now gets
  void answered(const wire::Reply& reply);
  void unheard() { handles.insert(handles.end(), fresh.begin(), fresh.end()); }  // the loader left before its answer
  size_t handleCount() const { return handles.size(); }

  long call(int command, bpf_attr& attr, uint32_t size) override;
  int route(const void*, uint32_t) override { FUZZ_REQUIRE(false, "a session speaks to rtnetlink"); }
  int makeDirectory(const char* path) override;
  int removeDirectory(const char* path) override;
  int unlink(const char* path) override;
  int renameNew(const char* from, const char* to) override;
  int list(const char* path, std::vector<std::string>& names) override;

 private:
  struct Made {
    wire::Kind kind;
    bool reused = false;
    uint32_t type = 0, keySize = 0, valueSize = 0;
  };

  const wire::Ceiling& ceiling;
  wire::Grant grant{};
  bool granted = false, committed = false;
  std::map<int, Made> made;  // by descriptor: everything that this session got from the kernel
  std::vector<int> handles;  // those that it gave handles for, in order
  std::vector<int> modules;  // that the frontend gave
  int offered = -1;          // by the request that is under way
  std::vector<int> fresh;    // made by the request that is under way
  std::vector<wire::GrantedProgram> unused;
  size_t matched = 0;  // which of them is being loaded
  uint32_t maps = 0, btfs = 0;
  unsigned __int128 mapBytes = 0, pendingBytes = 0;

  wire::Op op{};
  bool byLoader = false;
  std::vector<uint8_t> body, blob;  // of the request; blob: what follows its struct
  size_t calls = 0;                 // that it caused
  long target = -1;                 // descriptor of what the program that is being loaded extends
  uint32_t targetLoad = 0;

  template <typename T>
  T sent() const {
    FUZZ_REQUIRE(body.size() >= sizeof(T), "operation %u was performed with %zu bytes", unsigned(op), body.size());
    T value;
    memcpy(&value, body.data(), sizeof value);
    return value;
  }
  void requireOwn(int descriptor, wire::Kind kind, uint32_t handle) const;
  void createMap(bpf_attr attr);
  void loadBtf(bpf_attr attr) const;
  void loadProgram(LoadAttr whole);
  void requireInstructions(const bpf_insn* bound, uint32_t count) const;
  void update(bpf_attr attr) const;
  void open(bpf_attr attr) const;
  long openTarget(bpf_attr attr);
  void pin(bpf_attr attr) const;
  void info(bpf_attr attr);
  int moduleOf(uint32_t number) const;
  void requireStaging(const std::string& path) const;
};

}  // namespace bpfman
