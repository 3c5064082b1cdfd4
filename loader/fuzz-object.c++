// libFuzzer: the bytecode of a job, with a session that says yes to everything, as far as libbpf goes. The first byte chooses how the job
// is made; the rest is the object. Start with the examples as corpus: build/bin/fuzz-object -max_total_time=60 corpus/ build/examples/bpf
#include <cstdint>
#include <vector>

#include <bpf/libbpf.h>
#include <capnp/message.h>

#include "loader/object.h"
#include "loader/refusal.h"

namespace bpfman {

namespace {

// Handles in order; a program now and then refused, so that the retries and the explanation run too.
class YesSession final : public Session {
 public:
  explicit YesSession(uint8_t mood) : mood(mood) {}
  SessionAnswer call(wire::Op op, Bytes fixed, std::initializer_list<Bytes> tail) override {
    for (Bytes part : tail)
      for (unsigned char byte : part) checksum += byte;  // what is sent must be readable
    if (op == wire::Op::loadProgram && (mood & 1)) return {-22, {}, nullptr};
    if (op == wire::Op::createMap && (mood & 2)) return {-1, {}, nullptr};
    return {next++, {}, nullptr};
  }
  bool lost() const override { return mood & 4; }
  uint64_t checksum = 0;

 private:
  uint8_t mood;
  int64_t next = 0;
};

// What it was read as, and some that few types take, each in a job of its own: one that is refused hides no other.
void setVariables(const std::vector<unsigned char>& object, capnp::List<schema::LoadResult::Variable>::Reader variables) {
  unsigned tried = 0;
  for (auto variable : variables) {
    for (const char* json : {variable.getJson().cStr(), "-1", "[1,[2],{\"a\":3}]", "{\"a\":1,\"b\":{\"c\":true}}", "text", "true", "0.5"}) {
      if (*json == 0 || ++tried > 200) continue;
      std::vector<unsigned char> bytes = object;
      capnp::MallocMessageBuilder message, result;
      auto job = message.initRoot<schema::LoadJob>();
      job.setInspectOnly(true);
      auto global = job.initGlobals(1)[0];
      global.setName(variable.getName());
      global.setJson(json);
      try {
        BpfObject(bytes, job).describe(result.initRoot<schema::LoadResult>().initDone());
      } catch (const Refusal&) {}
    }
  }
}

void run(std::vector<unsigned char> bytes, uint8_t mood) {
  std::vector<std::string> names;
  std::vector<std::pair<uint32_t, uint32_t>> types;
  capnp::MallocMessageBuilder look, message, result;
  auto job = look.initRoot<schema::LoadJob>();
  job.setInspectOnly(true);
  job.setListVariables(true);
  std::vector<unsigned char> now(1 << 16, mood);
  auto contents = job.initContents(3);
  const char* const sections[] = {".data", ".bss", ".rodata"};
  for (unsigned i = 0; i < 3; ++i) {
    contents[i].setSection(sections[i]);
    contents[i].setBytes(kj::arrayPtr(now.data(), now.size()));
  }
  BpfObject inspected(bytes, job);
  auto seen = result.initRoot<schema::LoadResult>().initDone();
  inspected.describe(seen);

  auto second = message.initRoot<schema::LoadJob>();
  second.setKernelRelease(mood & 8 ? "6.1.0" : "6.12.0");
  auto programs = second.initPrograms(seen.getPrograms().size());
  for (unsigned i = 0; i < programs.size(); ++i) {
    programs[i].setName(seen.getPrograms()[i].getName());
    programs[i].setType(seen.getPrograms()[i].getType());
    programs[i].setExpectedAttachType(seen.getPrograms()[i].getExpectedAttachType());
  }
  setVariables(bytes, seen.getVariables());
  BpfObject object(bytes, second);
  YesSession session(mood);
  object.load(session, Files(-1, "0-1"), [](const KernelNames&) { return std::vector<Module>(); });
  capnp::MallocMessageBuilder last;
  object.describe(last.initRoot<schema::LoadResult>().initDone());
}

}  // namespace
}  // namespace bpfman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  try {
    bpfman::run({data + 1, data + size}, data[0]);
  } catch (const bpfman::Refusal&) {}
  return 0;
}
