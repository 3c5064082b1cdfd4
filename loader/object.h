// One job on one object: choose its programs, set its globals, load it, say what came of it. Throws a Refusal where that can't be.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <bpf/libbpf.h>

#include "loader/files.h"
#include "loader/globals.h"
#include "loader/modules.h"
#include "loader/proxy.h"
#include "loader/section.h"
#include "loader/warnings.h"
#include "schema/loader.capnp.h"

namespace bpfman {

class BpfObject {
 public:
  BpfObject(std::span<unsigned char> bytes, schema::LoadJob::Reader job);        // opens it and chooses: nobody is asked
  using AskForModules = std::function<std::vector<Module>(const KernelNames&)>;  // throws nothing
  void load(Session& session, const Files& files, AskForModules ask);
  void describe(schema::LoadResult::Done::Builder result) const;  // also what is not loaded

 private:
  schema::LoadJob::Reader job;
  Warnings warnings;
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object;
  struct Chosen {
    bpf_program* program;
    Section section;  // before the job's word for the type replaced it
    bool optional;    // of a section that begins with "?"
  };
  std::vector<Chosen> chosen;
  std::vector<const bpf_map*> pinnedByName;  // libbpf would pin them: that is the daemon's business
  Placeholders placeholders;
  std::string license;  // as the kernel was told
  struct Given {        // a global that the job sets
    std::string name;
    Variable variable;
    std::vector<unsigned char> mask;
    std::vector<unsigned char> value;  // a copy: once the map is made, newer libbpf has the variables in what it takes for the map
  };
  std::vector<Given> given;

  std::map<uint32_t, std::string> logs;              // the verifier's, by handle
  std::map<uint32_t, std::vector<bpf_insn>> toSign;  // if they were asked for, by handle
  std::span<unsigned char> bytes;

  bpf_program* find(const std::string& name) const;
  void choose();
  void leavePinning();
  void resizeMaps();
  void setGlobals();
  void fitMaps();
  void setType(Chosen& choice, schema::LoadJob::Wanted::Reader wanted);
  void reuseMaps(Proxy& proxy);
  void reuseMap(Proxy& proxy, const std::string& name, uint32_t handle, const char* whose, const char* advice);
  void aimPrograms();
  uint32_t handleOf(int fd) const;
  void listVariables(schema::LoadResult::Done::Builder result) const;
  std::span<const unsigned char> now(const Variable& variable) const;
  void listFunctions(schema::LoadResult::Done::Builder result) const;
};

}  // namespace bpfman
