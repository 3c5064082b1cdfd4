#include "frontend/attach-request.h"

#include <linux/bpf.h>

#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

kj::StringPtr interfaceOf(schema::Place::Reader place) {
  switch (place.which()) {
    case schema::Place::XDP: return place.getXdp().getInterface();
    case schema::Place::TC: return place.getTc().getInterface();
    case schema::Place::TCX: return place.getTcx().getInterface();
    case schema::Place::NETKIT: return place.getNetkit().getInterface();
    default: return "";
  }
}

struct Passed {  // descriptors. -1: none
  kj::AutoCloseFd netns, target, process;
};

kj::Promise<Passed> passedWith(schema::Place::Reader place) {
  auto passed = kj::heap<Passed>();
  kj::Vector<kj::Promise<void>> arriving;
  auto take = [&](kj::AutoCloseFd& to, kj::StringPtr what, bool there, auto client) {
    if (there) arriving.add(descriptorOf(client(), what).then([&to](kj::AutoCloseFd fd) { to = kj::mv(fd); }));
  };
  auto takeNetns = [&](auto group) { take(passed->netns, "the network namespace", group.hasNetns(), [&]() { return group.getNetns(); }); };
  if (place.isXdp()) takeNetns(place.getXdp());
  if (place.isTc()) takeNetns(place.getTc());
  if (place.isTcx()) takeNetns(place.getTcx());
  if (place.isNetkit()) takeNetns(place.getNetkit());
  if (place.isNetns()) takeNetns(place.getNetns());
  if (place.isNetfilter()) takeNetns(place.getNetfilter());
  if (place.isCgroup()) take(passed->target, "the cgroup", true, [&]() { return place.getCgroup().getCgroup(); });
  auto takeBinary = [&](auto group) {
    take(passed->target, "the binary", true, [&]() { return group.getBinary(); });
    take(passed->process, "the process", group.hasProcess(), [&]() { return group.getProcess(); });
  };
  if (place.isUprobe()) takeBinary(place.getUprobe());
  if (place.isUprobeMulti()) takeBinary(place.getUprobeMulti());
  if (place.isPerfEvent()) {
    auto event = place.getPerfEvent();
    take(passed->process, "the process", event.hasProcess(), [&]() { return event.getProcess(); });
  }
  return kj::joinPromises(arriving.releaseAsArray()).then([passed = kj::mv(passed)]() mutable { return kj::mv(*passed); });
}

template <typename Result, typename Take>
kj::Maybe<Result> maybe(kj::AutoCloseFd& descriptor, Take take) {
  if (descriptor.get() < 0) return nullptr;
  return take(kj::mv(descriptor));
}

}  // namespace

kj::Promise<AttachTargets> targetsOf(Core& core, schema::Place::Reader place) {
  return passedWith(place).then([&core](Passed passed) -> AttachTargets {
    auto netns = maybe<NamespaceTarget>(passed.netns, [&](kj::AutoCloseFd fd) { return core.intake.networkNamespace(kj::mv(fd)); });
    auto process = maybe<ProcessTarget>(passed.process, [&](kj::AutoCloseFd fd) { return core.intake.process(kj::mv(fd)); });
    return {kj::mv(netns), kj::mv(passed.target), kj::mv(process)};
  });
}

namespace {

bool isForSockets(schema::ProgramType type) {
  KJ_IF_MAYBE (row, rowOf(type)) return row->kernelType == BPF_PROG_TYPE_SOCKET_FILTER || row->kernelType == BPF_PROG_TYPE_SK_REUSEPORT;
  return false;
}

// Attaching changes what it does: his own, or an administrator's.
void requireMayUse(Connection& connection, const ProgramRow& program) {
  uint32_t owner = 0;
  kj::StringPtr missing = ""_kj;
  KJ_IF_MAYBE (load, connection.core.catalog.load(program.load)) owner = load->uid, missing = load->missing.c_str();
  connection.rights.requireUnload(owner);
  if (missing.size() > 0) refuse("program ", program.id, " is not loaded now: ", missing);
}

void requireAttachedHere(const ProgramRow& program) {
  auto type = static_cast<schema::ProgramType>(program.type);
  KJ_IF_MAYBE (row, rowOf(type))
    if (row->place != schema::Place::ELSEWHERE) return;
  refuse("program ", program.id, " is a ", typeName(type), " program: ",
         type == schema::ProgramType::SYSCALL ? "it is run ('bpfman program run')"_kj
         : isForSockets(type)                 ? "it is given to a socket ('bpfman link attach socket')"_kj
                              : "a route has it by its pin ('ip route add ... encap ... pinned RUNTIME_DIR/fs/prog_ID')"_kj);
}

// By whoever may attach it to nothing in particular.
void requireMayUseAnywhere(Connection& connection, Narrowed narrowed, schema::ProgramType type) {
  connection.rights.requireAttach({type, ""});
  KJ_IF_MAYBE (narrowing, narrowed) {
    narrowing->requireLive();
    narrowing->requireChange();
    narrowing->requireInterface("");
  }
}

}  // namespace

void requireMayHandOver(Connection& connection, Narrowed narrowed, const ProgramRow& program) {
  requireMayUse(connection, program);
  auto type = static_cast<schema::ProgramType>(program.type);
  if (!isForSockets(type)) refuse("program ", program.id, " is a ", typeName(type), " program: only those of sockets are handed over");
  requireMayUseAnywhere(connection, narrowed, type);
  KJ_IF_MAYBE (narrowing, narrowed) narrowing->requireDescriptor();
}

void requireMayRun(Connection& connection, Narrowed narrowed, const ProgramRow& program) {
  requireMayUse(connection, program);
  auto type = static_cast<schema::ProgramType>(program.type);
  if (type != schema::ProgramType::SYSCALL)
    refuse("program ", program.id, " is a ", typeName(type), " program: only syscall programs are run");
  requireMayUseAnywhere(connection, narrowed, type);
}

HookType requireMayAttach(Connection& connection, Narrowed narrowed, const ProgramRow& program, schema::Place::Reader place) {
  requireMayUse(connection, program);
  requireAttachedHere(program);
  HookType type = KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(program.type)));
  if (type.row.place != place.which())
    refuse("program ", program.id, " is a ", type.row.name, " program; the ", typesAt(place.which()), " attach accepts ",
           typesAt(place.which()));
  if (place.isFixed() && place.getFixed() != type.row.type)
    refuse("program ", program.id, " is a ", type.row.name, " program; the ", typeName(place.getFixed()), " attach accepts ",
           typeName(place.getFixed()));
  if (place.isXdp() && place.getXdp().getAdopt()) connection.rights.requireAdministrator("adopt another tool's program");
  KJ_IF_MAYBE (narrowing, narrowed) narrowing->requireInterface(interfaceOf(place));
  return type;
}

}  // namespace bpfman
