#include "frontend/attach-request.h"

#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

kj::StringPtr interfaceOf(schema::Place::Reader place) {
  switch (place.which()) {
    case schema::Place::XDP: return place.getXdp().getInterface();
    case schema::Place::TC: return place.getTc().getInterface();
    case schema::Place::TCX: return place.getTcx().getInterface();
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
  if (place.isCgroup()) take(passed->target, "the cgroup", true, [&]() { return place.getCgroup().getCgroup(); });
  if (place.isUprobe()) {
    auto uprobe = place.getUprobe();
    take(passed->target, "the binary", true, [&]() { return uprobe.getBinary(); });
    take(passed->process, "the process", uprobe.hasProcess(), [&]() { return uprobe.getProcess(); });
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

const HookType& requireMayAttach(Connection& connection, Narrowed narrowed, const ProgramRow& program, schema::Place::Reader place) {
  uint32_t owner = 0;
  kj::StringPtr missing = ""_kj;
  KJ_IF_MAYBE (load, connection.core.catalog.load(program.load)) owner = load->uid, missing = load->missing.c_str();
  connection.rights.requireUnload(owner);
  if (missing.size() > 0) refuse("program ", program.id, " is not loaded now: ", missing);
  const HookType& type = KJ_ASSERT_NONNULL(hookOf(static_cast<schema::ProgramType>(program.type)));
  if (type.place != place.which())
    refuse("program ", program.id, " is a ", typeName(type.type), " program; the ", nameOf(place.which()), " attach accepts ",
           nameOf(place.which()));
  if (place.isXdp() && place.getXdp().getAdopt()) connection.rights.requireAdministrator("adopt another tool's program");
  KJ_IF_MAYBE (narrowing, narrowed) narrowing->requireInterface(interfaceOf(place));
  return type;
}

}  // namespace bpfman
