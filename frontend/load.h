// Loading: one object, one loader, one session, one commit. What the kernel says was loaded is compared with what was allowed; the
// loader's word counts only for names.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <kj/function.h>
#include <kj/vector.h>

#include "frontend/catalog.h"
#include "frontend/intake.h"
#include "frontend/kernel-btf.h"
#include "frontend/loader-pool.h"
#include "frontend/locks.h"
#include "frontend/module-btf.h"
#include "schema/bpfman.capnp.h"
#include "schema/ceiling.h"

namespace bpfman {

struct Watched {  // a function of a program of ours
  uint32_t load = 0, index = 0;
  uint32_t function = 0;  // an id in that program's BTF
};

struct WantedProgram {
  uint16_t type;  // schema::ProgramType, or IRRELEVANT for bpfman's own objects
  std::string name, attachTo;
  std::string family;                       // "xdp", …: for messages
  uint32_t kernelType, expectedAttachType;  // BPF_PROG_TYPE_*, BPF_*
  uint32_t flags = 0;                       // BPF_F_* to load it with
  bool infer = false;                       // its type is what its section says: until settlePrograms, the above is not known
  Watched watched{};                        // what it is for, instead of a function of the kernel; load 0: it is not
};

struct Extension {     // what extensions are verified against
  uint32_t load;       // loads/LOAD/p0: a program of ours
  uint32_t function;   // its function that they replace: an id in its BTF
  std::string family;  // of the programs that become extensions: "xdp", "tc"
};

struct LoadWish {
  std::vector<WantedProgram> programs;
  std::vector<std::vector<WantedProgram>> alternatives{};  // the first that this host takes, if not `programs`
  Pairs globals, metadata;
  Pairs typed{};                                             // globals too: their values as JSON. The loader answers their bytes
  std::vector<Signature> signatures{};                       // of some of the programs
  bool toSign = false;                                       // their instructions are wanted as a signature covers them
  bool all = false;                                          // all programs that the object does not leave to be named
  uint32_t logLevel = 0;                                     // the verifier's log is wanted also when it accepts
  std::vector<std::pair<std::string, uint32_t>> mapSizes{};  // max_entries instead of the object's
  int kernelTypes = -1;  // BTF that the object is fitted to; -1: this kernel's. Whoever has the wish keeps it open
  uint64_t kernelTypesSize = 0;
  std::string application, sourcePath;
  uint32_t mapOwner = 0;  // kernel id of the program whose maps are used; 0: none
  uint32_t uid = 0;
  uint64_t maxMapBytes = 0;
  std::function<void()> requireSharing{};  // throws if its user may not use a map of another load of his
  bool own = false;                        // an object of bpfman itself: nothing of it is public
  bool listFunctions = false;
  std::string engine;              // of its XDP or TC programs, as the caller named it; "": he did not
  kj::Maybe<Extension> extension;  // its programs of that family are loaded as extensions of that
  std::string purpose;
  std::string request;  // as in the catalogue
  bool persistent = false;
  std::vector<std::pair<std::string, uint32_t>> keptSizes{};  // of a persistent one that it replaces: of the maps that it takes from that
  uint32_t again = 0;                                         // this persistent load, which is gone from the kernel; else a new one
  std::vector<uint32_t> instead{};                            // ids that its programs had, as many as programs
  bool tcExtension = false;                                   // and they were extensions of a TC dispatcher
};

struct Refused {  // by the kernel's verifier, or because of what the object is
  std::string reason, verifierLog, summary;
};

class Cancellation {  // set by whoever no longer wants the load
 public:
  void cancel() {
    cancelled = true;
    KJ_IF_MAYBE (k, kill) (*k)();
  }
  bool cancelled = false;
  kj::Maybe<kj::Function<void()>> kill;
};

struct LoadOutcome {
  kj::Maybe<Refused> refused;
  uint32_t load = 0;
  std::vector<uint32_t> programs;                  // kernel ids, in the order of the wish
  std::vector<std::string> logs;                   // likewise: the verifier's, if they were asked for
  std::vector<std::string> toSign;                 // likewise: the instructions, if they were asked for
  std::map<std::string, uint32_t> functions;       // if they were asked for: ids in the object's BTF
  kj::Vector<WorkerReply> seenPrograms, seenMaps;  // what the kernel said about them and about all maps of the load
  std::vector<std::string> warnings{};

  static LoadOutcome refusal(Refused refused) { return {kj::mv(refused), 0, {}, {}, {}, {}, {}, {}}; }
};

bool isTaken(const LoadRow& load);  // its program was loaded by somebody else, and handed over

// Changes with the object, so that what another version loaded is not taken for ours.
std::string purposeOf(kj::StringPtr what, kj::ArrayPtr<const kj::byte> object);
void requirePublished(std::vector<kj::Promise<WorkerReply>>& pins, kj::WaitScope& scope);  // what publishing() began

class Loads {
 public:
  Loads(kj::Timer& timer, Catalog& catalog, Workers& workers, LoaderPool& pool, KernelBtf& btf, ModuleBtf& modules, BrokerChannel& broker,
        int programsDir, kj::Duration patience, const wire::Ceiling& ceiling)
      : timer(timer),
        catalog(catalog),
        workers(workers),
        pool(pool),
        btf(btf),
        modules(modules),
        broker(broker),
        programsDir(programsDir),
        patience(patience),
        ceiling(ceiling) {}

  LoadOutcome load(const LoadWish& wish, int object, uint64_t size, Cancellation& cancellation, kj::WaitScope& scope);
  LoadOutcome loadOwn(LoadWish wish, kj::ArrayPtr<const kj::byte> object, kj::WaitScope& scope);  // an object of bpfman itself
  uint32_t take(LoadWish wish, int program, kj::WaitScope& scope);  // take.c++: one that somebody else loaded. Its id
  void undo(uint32_t load, kj::WaitScope& scope);
  // Removes all that a load left, whatever it was doing. One that was being loaded again is missing again.
  void removeProgram(uint32_t id, kj::WaitScope& scope);  // its links are gone already
  void publish(uint32_t load, kj::WaitScope& scope);      // makes the public names that are missing

  SealedObject bytecodeOf(uint32_t program) const;                 // a copy of what was kept for people to look at
  void requireObject(uint32_t program, kj::StringPtr what) const;  // it was not taken: else refuses, saying what can't be
  kj::Own<class LoaderJob> inspector(Cancellation& cancellation, kj::WaitScope& scope);  // a loader for jobs that only look at an object

 private:
  kj::Timer& timer;
  Catalog& catalog;
  Workers& workers;
  LoaderPool& pool;
  KernelBtf& btf;
  ModuleBtf& modules;
  BrokerChannel& broker;
  int programsDir;  // RUNTIME_DIR/programs
  kj::Duration patience;
  const wire::Ceiling& ceiling;
  Locks names;  // of maps: of one user's application at once

  LoadRow begin(const LoadWish& wish);
  void erase(uint32_t load);
  struct KernelTarget {
    uint32_t id = 0;          // in the kernel's BTF, or the module's; 0: a program of its type has none
    std::string module = "";  // "": of none
  };
  KernelTarget kernelTargetOf(const WantedProgram& program);
  struct Run;
  std::vector<kj::Promise<WorkerReply>> publishing(uint32_t load, Place& place);
};

}  // namespace bpfman
