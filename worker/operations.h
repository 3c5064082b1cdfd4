// The only operations that the privileged process performs. What is not in the table of operations.c++ does not exist.
#pragma once

#include "worker/bpf.h"
#include "worker/channel.h"

#include <map>
#include <sys/types.h>

namespace bpfman {

// Who is asking, and how far it has come. An operation is allowed in the states that its row lists.
enum State : uint32_t {
  Control = 1,  // the frontend, to the worker itself
  Waiting = 2,  // the frontend, to a load session that has no grant yet
  Granted = 4,  // the frontend, to a load session that has one and did not commit
  Loading = 8,  // the loader, to a load session that has a grant and did not commit
};

// One object of a load session. Its handle is its index.
struct Object {
  Fd fd;
  wire::Kind kind;
  uint32_t mapType = 0, keySize = 0, valueSize = 0;
  bool reused = false;  // taken from another load: its contents are not this loader's to set
};

// A load session's own state; derived here, never told by anyone.
struct LoadSession {
  wire::Grant grant{};
  bool granted = false, committed = false;
  bool used[wire::MAX_PROGRAMS] = {};  // which granted programs were loaded
  uint32_t maps = 0, btfs = 0, moduleCount = 0;
  uint64_t mapBytes = 0;
  std::vector<Object> objects;
  Fd modules[1 + wire::MAX_MODULES];  // BTF, by number; 0 is the kernel itself, and never looked at

  Object& object(uint32_t handle, wire::Kind kind);  // dies on a number that this session did not give
  Answer own(Object object);                         // -> its handle, or the error in place of a descriptor
};

struct Context {
  Bpf& bpf;
  const wire::Ceiling& ceiling;
  LoadSession load{};                    // in a session
  std::map<uint32_t, pid_t> sessions{};  // in the worker: those that were started and not reaped yet
  uint32_t lastSession = 0;
  Channel* channel = nullptr;  // in the worker: closed in the children
};

struct Operation {
  wire::Op op;
  uint32_t states;
  size_t fixedSize;  // of its struct
  bool tail;         // whether anything may follow the struct
  size_t minDescriptors, maxDescriptors;
  Answer (*answer)(Context&, Request&);
};

std::span<const Operation> operations();
Answer perform(Context& context, Request& request, State state);  // dies on anything unknown, unpermitted or malformed

int runWorker(Bpf& bpf);              // run.c++: closes itself in, and serves
void serveControl(Context& context);  // until the frontend goes
void reapSessions(Context& context);  // those that ended by themselves
[[noreturn]] void serveSession(Context& context, Fd control, Fd loader);

constexpr uint64_t anyOf(auto... bits) { return (... | (1ull << bits)); }
bool covers(const uint64_t* bits, size_t words, uint32_t bit);  // whether bit is set in a mask of the ceiling or grant
bool holdsDescriptors(uint32_t mapType);                        // whether the kernel reads descriptor numbers from this map's values
bool isPerCpu(uint32_t mapType);                                // whether it has a value for each CPU
Answer describe(Bpf& bpf, const Fd& object, wire::Kind kind);   // ObjectInfo and what belongs to it

// Handlers, by file.
using Handler = Answer(Context& context, Request& request);
Handler answerStartSession, answerEndSession, answerGrant, answerInspectHandle, answerCommit, answerAddModule;  // session.c++
Handler answerCreateMap, answerLoadBtf, answerLoadProgram, answerInitialise, answerFreezeMap, answerBindMap;    // load.c++
Handler answerWipeStaging, answerPublish, answerRemove, answerRemoveLoad, answerList, answerInspect, answerOpenObject,
    answerOpenIterator;                                            // objects.c++
Handler answerLookup, answerReadMap, answerUpdate, answerSetSlot;  // elements.c++
Handler answerCreateLink, answerUpdateLink, answerQuery;           // links.c++
Handler answerSetXdp, answerSetFilter;                             // netlink.c++

}  // namespace bpfman
