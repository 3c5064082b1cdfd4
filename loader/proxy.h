// bpf(2) for libbpf: each command becomes one typed request to the load session, or is answered here. Descriptors become handles on the
// way out and placeholders on the way back.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "loader/modules.h"
#include "loader/placeholders.h"
#include "loader/probes.h"
#include "loader/session.h"

namespace bpfman {

class Proxy {
 public:
  struct Wanted {                       // what the job says of a program
    uint32_t function = 0, module = 0;  // of another program, or of a module: its target; 0: none
    int32_t keyring = 0;
    Bytes signature{};
  };
  using WantedOf = std::function<Wanted(const bpf_insn* instructions)>;  // of the program with these instructions

  Proxy(Session& session, Placeholders& placeholders, const Probes& probes, Modules& modules, WantedOf wantedOf)
      : session(session), placeholders(placeholders), probes(probes), modules(modules), wantedOf(std::move(wantedOf)) {}

  long call(int command, bpf_attr* attr, unsigned size);  // as bpf(2): >= 0, or -1 and errno

  struct Failure {  // the last thing that the session or the kernel refused
    wire::Op op = wire::Op::count;
    std::string name = "";
    int error = 0;
    uint32_t mapType = 0;
    uint64_t mapBytes = 0;  // an estimate
    bool ofSigned = false;  // a program that came with its signature
  };
  const Failure& lastFailure() const { return failure; }
  const std::string& license() const { return licenseGiven; }
  using FunctionsIn = std::function<std::vector<uint32_t>(uint32_t valueType)>;
  void placeFunctions(FunctionsIn where) { functionsIn = std::move(where); }  // at which offsets of such a struct_ops value
  void keepLogs(size_t bytes) { bytesOfLog = bytes; }                         // of each program's that the kernel wrote although it took it
  const std::map<uint32_t, std::string>& logs() const { return kept; }        // by handle
  void keepInstructions() { keepsInstructions = true; }                       // of each program, as a signature covers them
  const std::map<uint32_t, std::vector<bpf_insn>>& instructions() const { return covered; }  // likewise
  bool sessionLost() const { return session.lost(); }

 private:
  Session& session;
  Placeholders& placeholders;
  const Probes& probes;
  Modules& modules;
  WantedOf wantedOf;
  FunctionsIn functionsIn;
  Failure failure;
  size_t bytesOfLog = 0;
  std::map<uint32_t, std::string> kept;
  bool keepsInstructions = false;
  std::map<uint32_t, std::vector<bpf_insn>> covered;
  std::string licenseGiven;  // with the last program

  long createMap(const bpf_attr& attr);
  long loadBtf(const bpf_attr& attr);
  long loadProgram(const bpf_attr& attr);
  long initialise(const bpf_attr& attr);
  long freezeMap(const bpf_attr& attr);
  long bindMap(const bpf_attr& attr);
  long objectInfo(const bpf_attr& attr, bpf_attr& answer);
  long nextModule(const bpf_attr& attr, bpf_attr& answer);
  long openModule(const bpf_attr& attr);
  long moduleInfo(uint32_t number, const bpf_attr& attr, bpf_attr& answer);
  uint32_t moduleOf(int fd) const;  // its number; 0: it is none
  long perform(wire::Op op, const char* name, SessionAnswer& answer);
};

}  // namespace bpfman
