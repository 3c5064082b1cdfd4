#include "cli/fake-daemon.h"
#include "cli/fake-words.h"
#include "cli/names.h"
#include "client/client.h"

#include <kj/debug.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace bpfman {
namespace {

using Calls = FakeDaemon::Calls;
using schema::ProgramType;

constexpr int64_t MINUTE_PAST_2026 = 1767225660'000000000;  // 2026-01-01T00:01:00Z

template <typename... Parts>
void note(Calls& calls, Parts&&... parts) {
  std::lock_guard guard(calls.mutex);
  calls.said.push_back(kj::str(kj::fwd<Parts>(parts)...).cStr());
}

// ---- the programs: 40 xdp (attached: links 8), 41 tracepoint, uses 40's maps (link 9), 42 tcx (link 10), 7 foreign ----

void fill(schema::KernelProgram::Builder kernel, uint32_t id, const char* type, const char* name) {
  kernel.setId(id);
  kernel.setTypeName(type);
  kernel.setName(name);
  kernel.setTag("0123456789abcdef");
  kernel.setLoadedAt(MINUTE_PAST_2026);
  kernel.setUid(990);
  kernel.setBtfId(id == 7 ? 0 : 11);
  kernel.initMapIds(1).set(0, 70);
  kernel.setXlatedSize(168);
  kernel.setJitedSize(111);
  kernel.setVerifiedInstructions(13);
  kernel.setMemlock(4096);
  kernel.initRunTime().setUnknown("statistics are off");
  kernel.initRunCount().setUnknown("statistics are off");
}

void fill(schema::ProgramRecord::Builder record, uint32_t id) {
  record.setId(id);
  record.setName(id == 40 ? "pass_with_a_long_name" : id == 41 ? "on_kill" : "count");
  record.setType(id == 40 ? ProgramType::XDP : id == 41 ? ProgramType::TRACEPOINT : ProgramType::TCX);
  record.setObjectPath(kj::str("/run/bpfman/programs/", id, "/bytecode.o"));
  record.setSourcePath("pass.bpf.o");
  record.setLicense("GPL");
  record.setGplCompatible(true);
  record.setPinPath(kj::str("/run/bpfman/fs/prog_", id));
  record.setMapPinPath("/run/bpfman/fs/maps/40");
  record.setMapOwner(id == 41 ? 40 : 0);
  record.setUid(1000);
  record.setCreatedAt(MINUTE_PAST_2026);
  if (id != 40) return;
  record.setApplication("edge");
  auto global = record.initGlobals(1)[0];
  global.setName("weight");
  global.setValue(kj::heapArray<kj::byte>({1, 0, 0xff}));
  auto metadata = record.initMetadata(2);
  metadata[0].setKey("bpfman.io/application");
  metadata[0].setValue("edge");
  metadata[1].setKey("team");
  metadata[1].setValue("net");
}

void fill(schema::LinkRecord::Builder record, uint32_t id) {
  record.setId(id);
  record.setProgramId(id == 8 ? 40 : id == 9 ? 41 : 42);
  record.setKernelLinkId(id + 100);
  record.setKind(id == 8 ? ProgramType::XDP : id == 9 ? ProgramType::TRACEPOINT : ProgramType::TCX);
  record.setPinPath(kj::str("/run/bpfman/fs/links/", id));
  record.setCreatedAt(MINUTE_PAST_2026);
  record.setProgramName(id == 8 ? "pass_with_a_long_name" : id == 9 ? "on_kill" : "count");
  if (id == 9) {
    record.setTarget("syscalls/sys_enter_kill");
    return;
  }
  record.setInterface("eth0");
  record.setIfindex(3);
  record.setPriority(50);
  record.setNsid(4026531840);
  if (id == 10) {
    record.setDirection(schema::Direction::EGRESS);
    record.setNetnsPath("/run/netns/blue");
    auto metadata = record.initMetadata(1);
    metadata[0].setKey("owner");
    metadata[0].setValue("me");
    return;
  }
  auto verdicts = record.initProceedOn(2);
  verdicts.set(0, 2);
  verdicts.set(1, 31);
  record.setDispatcherId(60);
  record.setRevision(4);
}

void fill(schema::LinkDetails::Builder details, uint32_t id) {
  fill(details.initRecord(), id);
  auto kernel = details.initKernel();
  kernel.setId(id + 100);
  kernel.setProgramId(id == 8 ? 60 : id == 9 ? 41 : 42);
  kernel.setTypeName(id == 8 ? "xdp" : id == 9 ? "perf_event" : "tcx");
  kernel.setAttachType(id == 8 ? 37 : id == 9 ? 41 : 47);
  kernel.setIfindex(id == 9 ? 0 : 3);
  details.setKernelSeen(true);
  details.setPinPresent(true);
}

void fill(schema::ProgramDetails::Builder details, uint32_t id) {
  fill(details.initRecord(), id);
  auto kernel = details.initKernel();
  fill(kernel, id, id == 40 ? "xdp" : id == 41 ? "tracepoint" : "schedcls", "pass_with_a_lon");
  if (id == 42) {
    kernel.initRunCount().setValue(12);
    kernel.initRunTime().setValue(3456);
    kernel.initRecursionMisses().setValue(1);
  }
  details.setKernelSeen(true);
  fill(details.initLinks(1)[0], id == 40 ? 8 : id == 41 ? 9 : 10);
  auto map = details.initMaps(1)[0];
  map.setName("packet_counters_by_cpu");
  map.setPinPath("/run/bpfman/fs/maps/40/packet_counters_by_cpu");
  map.setPresent(true);
  auto info = map.initKernel();
  info.setId(70);
  info.setTypeName("percpuarray");
  info.setName("packet_counters");
  info.setKeySize(4);
  info.setValueSize(8);
  info.setMaxEntries(2);
  info.setBtfId(12);
  info.setMemlock(296);
  auto users = details.initMapUsedBy(2);
  users.set(0, 40);
  users.set(1, 41);
}

void fill(schema::ProgramEntry::Builder entry, uint32_t id) {
  entry.setId(id);
  entry.setManaged(id != 7);
  fill(entry.initKernel(), id, id == 40 ? "xdp" : id == 41 ? "tracepoint" : "schedcls", id == 7 ? "cil_from_netdev" : "pass_with_a_lon");
  entry.setType(id == 40 ? "xdp" : id == 41 ? "tracepoint" : id == 42 ? "tcx" : "schedcls");
  entry.setFunctionName(id == 7 ? "cil_from_netdev" : id == 40 ? "pass_with_a_long_name" : id == 41 ? "on_kill" : "count");
  if (id == 7) return;
  fill(entry.initRecord(), id);
  if (id == 40) entry.setApplication("edge");
  if (id != 41) entry.initLinkIds(1).set(0, id == 40 ? 8 : 10);
}

// ---- the interfaces ----

class Link final : public schema::Link::Server {
 public:
  Link(Calls& calls, uint32_t id) : calls(calls), id(id) {}
  kj::Promise<void> detach(DetachContext) override {
    note(calls, "detach ", id);
    if (id == 9) fail(kj::str("link 9 is held by its dispatcher"));
    return kj::READY_NOW;
  }

 private:
  Calls& calls;
  uint32_t id;
};

class Program final : public schema::Program::Server {
 public:
  Program(Calls& calls, uint32_t id) : calls(calls), id(id) {}

  kj::Promise<void> attach(AttachContext context) override {
    auto place = context.getParams().getPlace();
    auto metadata = words(context.getParams().getMetadata());
    context.getResults().setLink(kj::heap<Link>(calls, 8));
    schema::Descriptor::Client netns = nullptr;
    bool elsewhere = false;
    auto take = [&](auto group) {
      elsewhere = group.hasNetns();
      if (elsewhere) netns = group.getNetns();
    };
    kj::String text;
    switch (place.which()) {
      case schema::Place::XDP: {
        auto xdp = place.getXdp();
        text = kj::str("xdp ", xdp.getInterface(), " priority ", xdp.getPriority(), " proceed ", words(xdp.getProceedOn()).c_str());
        if (xdp.getAdopt()) text = kj::str(text, " adopt as ", xdp.getAdoptedPriority());
        take(xdp);
        fill(context.getResults().initDetails(), 8);
        break;
      }
      case schema::Place::TC: {
        auto tc = place.getTc();
        text = kj::str("tc ", tc.getInterface(), " ", nameOf(tc.getDirection()), " priority ", tc.getPriority(), " proceed ",
                       words(tc.getProceedOn()).c_str());
        take(tc);
        fill(context.getResults().initDetails(), 8);
        break;
      }
      case schema::Place::TCX: {
        auto tcx = place.getTcx();
        text = kj::str("tcx ", tcx.getInterface(), " ", nameOf(tcx.getDirection()), " priority ", tcx.getPriority());
        take(tcx);
        fill(context.getResults().initDetails(), 10);
        break;
      }
      case schema::Place::TRACEPOINT:
        text = kj::str("tracepoint ", place.getTracepoint().getGroup(), "|", place.getTracepoint().getName());
        fill(context.getResults().initDetails(), 9);
        break;
      case schema::Place::RAW_TRACEPOINT: text = kj::str("raw_tp '", place.getRawTracepoint(), "'"); break;
      case schema::Place::TP_BTF: text = kj::str("tp_btf"); break;
      case schema::Place::CGROUP: text = kj::str("cgroup ", nameOf(place.getCgroup().getDirection())); break;
      case schema::Place::UPROBE:
        text = kj::str("uprobe ", place.getUprobe().getPath(), ' ', place.getUprobe().getFunction(), " at ", place.getUprobe().getOffset());
        break;
      default: text = kj::str(place);
    }
    auto line = kj::str("attach ", id, " ", text, metadata.empty() ? "" : " metadata ", metadata.c_str(),
                        words("before", context.getParams().getBefore()).c_str(), words("after", context.getParams().getAfter()).c_str());
    if (!elsewhere) {
      note(calls, line);
      return kj::READY_NOW;
    }
    return received(netns).then([this, line = kj::mv(line)](kj::AutoCloseFd fd) {
      struct stat passed, own;
      KJ_SYSCALL(fstat(fd.get(), &passed));
      KJ_SYSCALL(stat("/proc/self/ns/net", &own));
      note(calls, line, passed.st_ino == own.st_ino ? " netns ours" : " netns other");
    });
  }

  kj::Promise<void> set(SetContext context) override {
    std::string text;
    for (auto each : context.getParams().getVariables()) text += kj::str(" ", each.getName(), "=", each.getValue(), each.getJson()).cStr();
    note(calls, "set ", id, text.c_str());
    return kj::READY_NOW;
  }

  kj::Promise<void> unload(UnloadContext) override {
    note(calls, "unload ", id);
    return kj::READY_NOW;
  }

 private:
  Calls& calls;
  uint32_t id;
};

class Programs final : public schema::Programs::Server {
 public:
  explicit Programs(Calls& calls) : calls(calls) {}

  kj::Promise<void> load(LoadContext context) override {
    auto bytecode = context.getParams().getBytecode();
    auto options = context.getParams().getOptions();
    std::string text = kj::str("load ", bytecode.getSourcePath()).cStr();
    for (auto wanted : options.getPrograms())
      text += kj::str(" ", wanted.getInferType() ? "inferred" : nameOf(wanted.getType()), ":", wanted.getName(), ":", wanted.getAttachTo())
                  .cStr();
    if (options.getAllPrograms()) text += " all programs";
    for (auto global : options.getGlobals()) text += kj::str(" global ", global.getName(), "=", global.getValue(), global.getJson()).cStr();
    for (auto size : options.getMapSizes()) text += kj::str(" size ", size.getName(), "=", size.getEntries()).cStr();
    if (options.getLogLevel()) text += " log level " + std::to_string(options.getLogLevel());
    if (options.hasKernelTypes()) text += " with BTF";
    for (auto each : options.getSignatures())
      text += kj::str(" signature of ", each.getProgram(), ", ", each.getPkcs7().size(), " bytes, keyring ", each.getKeyring()).cStr();
    if (options.getToSign()) text += " to sign";
    if (options.getMetadata().size()) text += " metadata " + words(options.getMetadata());
    if (options.getApplication().size()) text += kj::str(" application ", options.getApplication()).cStr();
    if (options.getMapOwner()) text += " owner " + std::to_string(options.getMapOwner());
    if (options.getPersistent()) text += " persistent";
    if (options.getEngine().size() > 0) text += std::string(" engine ") + options.getEngine().cStr();
    bool refused = options.getPrograms().size() > 0 && options.getPrograms()[0].getName().startsWith("bad"),
         told = text.ends_with("log level 1");
    return received(bytecode.getMemfd()).then([this, context, text, refused, told](kj::AutoCloseFd fd) mutable {
      struct stat status;
      KJ_SYSCALL(fstat(fd.get(), &status));
      bool sealed = fcntl(fd.get(), F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
      note(calls, text.c_str(), " ", status.st_size, " bytes", sealed ? " sealed" : " open");
      if (refused) {
        auto refusal = context.getResults().initRefused();
        refusal.setReason("permission denied");
        refusal.setVerifierLog("0: R1=ctx()\n1: (71) r0 = *(u8 *)(r1 +100)\ninvalid access to packet\n");
        if (text.find("bad_explained") != text.npos) refusal.setSummary("instruction: 1: (71) r0\nverifier:    invalid access\n");
        return;
      }
      auto loaded = context.getResults().initLoaded(1)[0];
      loaded.setProgram(kj::heap<Program>(calls, 40));
      fill(loaded.initDetails(), 40);
      if (told) loaded.setVerifierLog("processed 2 insns\n");
    });
  }

  kj::Promise<void> list(ListContext context) override {
    auto filter = context.getParams().getFilter();
    auto attached = filter.getAttached();
    using Attached = schema::ProgramFilter::Attached;
    note(calls, "list", filter.getAll() ? " all" : "", " types ", words(filter.getTypes()).c_str(), " application ",
         filter.getApplication(), " metadata ", words(filter.getMetadata()).c_str(),
         attached == Attached::ATTACHED     ? " attached"
         : attached == Attached::UNATTACHED ? " unattached"
                                            : "");
    std::vector<uint32_t> ids = {40, 41, 42};
    if (filter.getAll()) ids.insert(ids.begin(), 7);
    auto programs = context.getResults().initPrograms(ids.size());
    for (size_t i = 0; i < ids.size(); i++) fill(programs[i], ids[i]);
    return kj::READY_NOW;
  }

  kj::Promise<void> get(GetContext context) override {
    auto id = context.getParams().getId();
    if (id < 40 || id > 42) fail(kj::str("record not found"));
    context.getResults().setProgram(kj::heap<Program>(calls, id));
    fill(context.getResults().initDetails(), id);
    return kj::READY_NOW;
  }

 private:
  Calls& calls;
};

class Links final : public schema::Links::Server {
 public:
  explicit Links(Calls& calls) : calls(calls) {}

  kj::Promise<void> list(ListContext context) override {
    auto filter = context.getParams().getFilter();
    note(calls, "links program ", filter.getProgramId(), " kinds ", words(filter.getKinds()).c_str(), " application ",
         filter.getApplication(), " metadata ", words(filter.getMetadata()).c_str());
    auto links = context.getResults().initLinks(3);
    for (uint32_t i = 0; i < 3; i++) fill(links[i], 8 + i);
    return kj::READY_NOW;
  }

  kj::Promise<void> get(GetContext context) override {
    auto id = context.getParams().getId();
    if (id < 8 || id > 10) fail(kj::str("not found"));
    context.getResults().setLink(kj::heap<Link>(calls, id));
    fill(context.getResults().initDetails(), id);
    return kj::READY_NOW;
  }

  kj::Promise<void> dispatchers(DispatchersContext context) override {
    auto params = context.getParams();
    note(calls, "dispatchers '", params.getType(), "' ", params.getNsid(), " ", params.getIfindex());
    if (params.getIfindex() == 99) return kj::READY_NOW;
    auto dispatcher = context.getResults().initDispatchers(1)[0];
    dispatcher.setType("xdp");
    dispatcher.setNsid(4026531840);
    dispatcher.setIfindex(params.getIfindex() ? params.getIfindex() : 3);
    dispatcher.setRevision(4);
    dispatcher.setProgramId(60);
    dispatcher.setKernelLinkId(108);
    dispatcher.setEngine("tailcall");
    auto member = dispatcher.initMembers(1)[0];
    member.setProgramId(40);
    member.setProgramName("pass");
    member.setProgramPinPath("/run/bpfman/fs/prog_40");
    member.setLinkId(8);
    member.setKernelLinkId(108);
    member.setLinkPinPath("/run/bpfman/fs/xdp/dispatcher_4026531840_3/link_8");
    member.setPriority(50);
    member.setProceedOn(1u << 31 | 1 << 2);
    member.setInterface("eth0");
    if (params.getIfindex() == 4) fillCounters(dispatcher, member.initCounters());
    if (params.getIfindex() == 5) dispatcher.setNoCounters("engine libxdp has no counters");
    return kj::READY_NOW;
  }

  kj::Promise<void> count(CountContext context) override {
    auto params = context.getParams();
    note(calls, "count '", params.getType(), "' ", params.getNsid(), " ", params.getIfindex(), " ", unsigned(params.getCounting()));
    return kj::READY_NOW;
  }

  void fillCounters(schema::Dispatcher::Builder dispatcher, schema::Dispatcher::Counters::Builder counters) {
    dispatcher.setCounting(schema::Counting::TIME);
    counters.setSeen(100);
    counters.setPassedOn(70);
    auto finals = counters.initFinals(4);
    const std::pair<int32_t, uint64_t> gave[] = {{0, 2}, {1, 8}, {3, 6}, {4, 5}};
    for (uint32_t i = 0; i < 4; ++i) finals[i].setVerdict(gave[i].first), finals[i].setPackets(gave[i].second);
    counters.setOtherFinals(9);
    counters.setTimedRuns(40);
    counters.setNanoseconds(1234);
  }

 private:
  Calls& calls;
};

class Overview final : public schema::Overview::Server {
  kj::Promise<void> programs(ProgramsContext context) override {
    fill(context.getResults().initPrograms(1)[0], 7, "schedcls", "cil_from_netdev");
    return kj::READY_NOW;
  }
  kj::Promise<void> attachments(AttachmentsContext context) override {
    auto attachment = context.getResults().initAttachments(1)[0];
    attachment.setProgramId(7);
    attachment.setHook("tc ingress");
    attachment.setTarget("eth0");
    attachment.setIfindex(3);
    attachment.setNsid(4026531840);
    attachment.setPosition(-1);
    attachment.setHow("filter");
    context.getResults().initNotes(1).set(0, "cgroups were not looked at: no cgroup2 hierarchy");
    return kj::READY_NOW;
  }
};

class Daemon final : public schema::Daemon::Server {
 public:
  explicit Daemon(Calls& calls) : calls(calls) {}
  kj::Promise<void> version(VersionContext context) override {
    auto results = context.getResults();
    results.setVersion("9.9");
    results.setProtocol(1);
    results.setEngine("tailcall"), results.setEngineReason("the kernel refuses freplace");
    results.setTcEngine("freplace"), results.setTcEngineReason("the configuration says so");
    return kj::READY_NOW;
  }
  kj::Promise<void> enter(EnterContext context) override {
    context.getResults().setPrograms(kj::heap<Programs>(calls));
    context.getResults().setLinks(kj::heap<Links>(calls));
    context.getResults().setOverview(kj::heap<Overview>());
    return kj::READY_NOW;
  }

 private:
  Calls& calls;
};

void serve(kj::AutoCloseFd listening, kj::AutoCloseFd stopped, Calls& calls) {
  auto io = kj::setupAsyncIo();
  auto listener = io.lowLevelProvider->wrapListenSocketFd(kj::mv(listening));
  auto end = io.lowLevelProvider->wrapInputFd(kj::mv(stopped));
  capnp::TwoPartyServer server(kj::heap<Daemon>(calls));
  char byte;
  auto stop = end->tryRead(&byte, 1, 1).ignoreResult();
  server.listenCapStreamReceiver(*listener, DESCRIPTORS_PER_MESSAGE).exclusiveJoin(kj::mv(stop)).wait(io.waitScope);
}

std::string contentOf(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

FakeDaemon::FakeDaemon() : directory("/tmp/bpfman-cli-XXXXXX") {
  KJ_REQUIRE(mkdtemp(directory.data()) != nullptr);
  kj::AutoCloseFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, (directory + "/" + SOCKET_NAME).c_str());
  KJ_SYSCALL(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  KJ_SYSCALL(listen(listener.get(), 16));
  int pipes[2];
  KJ_SYSCALL(pipe2(pipes, O_CLOEXEC));
  stop = kj::AutoCloseFd(pipes[1]);
  thread = std::thread([this, fd = listener.release(), stopped = pipes[0]] {  // std::thread takes nothing whose end may throw
    serve(kj::AutoCloseFd(fd), kj::AutoCloseFd(stopped), calls);
  });
}

FakeDaemon::~FakeDaemon() noexcept {
  stop = nullptr;
  thread.join();
  std::filesystem::remove_all(directory);
}

std::vector<std::string> FakeDaemon::takeCalls() {
  std::vector<std::string> result;
  std::lock_guard guard(calls.mutex);
  std::swap(result, calls.said);
  return result;
}

FakeDaemon::Outcome FakeDaemon::bpfman(const std::string& arguments) const {
  auto out = directory + "/out", err = directory + "/err";
  auto line = "BPFMAN_RUNTIME_DIR=" + directory + " exec " BPFMAN_BINARY " " + arguments + " >" + out + " 2>" + err;
  int status = system(line.c_str());
  return {WEXITSTATUS(status), contentOf(out), contentOf(err)};
}

}  // namespace bpfman
