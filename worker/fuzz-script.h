// Messages to the worker and its sessions, out of a fuzz input: most as the protocol wants them, some with a word changed, some wrong
// throughout, with descriptors of several kinds.
#pragma once

#include "tests/fuzz.h"
#include "worker/recording-bpf.h"

namespace bpfman {

struct FuzzMessage {
  wire::Header header{};  // as sent: size may lie
  bool byLoader = false, hangUp = false;
  std::vector<uint8_t> body;
  size_t fixedSize = 0;               // of its operation's struct
  bool inMemfd = false;               // the blob is in a memfd that is sealed
  std::vector<uint8_t> memfdContent;  // then
  std::vector<Fd> descriptors;

  bool send(int socket) const;  // false: the kernel does not take it
  bool wellFramed() const;
  std::vector<uint8_t> blob() const;  // what follows the struct, wherever it is
};

wire::Reply receiveReply(int socket, uint8_t* bytes, size_t size);  // one whole, well-formed answer
wire::Ceiling fuzzedCeiling(FuzzInput& input);
void setMood(FuzzInput& input, RecordingBpf& kernel);              // what fails, and what maps say of themselves
void attach(FuzzInput& input, FuzzMessage& message, size_t most);  // odd descriptors
void spoil(FuzzInput& input, FuzzMessage& message);

class SessionScript {
 public:
  SessionScript(FuzzInput& input, const wire::Ceiling& ceiling) : input(input), ceiling(ceiling) {}
  FuzzMessage next(size_t handles);

 private:
  FuzzInput& input;
  const wire::Ceiling& ceiling;
  std::vector<wire::GrantedProgram> granted;  // that were asked for
  std::vector<wire::CreateMap> created;
  size_t handles = 0;

  uint32_t handle();
  void grant(FuzzMessage& message);
  void commit(FuzzMessage& message);
  void createMap(FuzzMessage& message);
  void loadBtf(FuzzMessage& message);
  void loadProgram(FuzzMessage& message);
  void initialise(FuzzMessage& message);
  std::vector<bpf_insn> instructions();
  void withBlob(FuzzMessage& message, std::vector<uint8_t> blob);
};

}  // namespace bpfman
