#include "loader/test-session.h"

#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <iterator>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kj/debug.h>

#include "loader/packets.h"
#include "schema/broker.h"
#include "worker/operations.h"

namespace bpfman {

namespace {

constexpr uid_t NOBODY = 65534;

struct Pair {
  kj::AutoCloseFd ours, theirs;
};

Pair socketPair() {
  int ends[2];
  KJ_SYSCALL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
  return {kj::AutoCloseFd(ends[0]), kj::AutoCloseFd(ends[1])};
}

wire::Ceiling ceiling() {
  wire::Ceiling all{};
  all.programTypes = all.attachTypes[0] = all.attachTypes[1] = all.mapTypes = ~0ull;
  all.maxMapBytes = 64 << 20;
  all.maxMaps = wire::MAX_MAPS;
  all.maxPrograms = wire::MAX_PROGRAMS;
  all.maxSessions = 1;
  all.possibleCpus = sysconf(_SC_NPROCESSORS_CONF);
  return all;
}

// The root directory of a worker is a bpffs; this one goes with the process.
void enterOwnBpffs(Bpf& bpf) {
  KJ_SYSCALL(unshare(CLONE_NEWNS));
  KJ_SYSCALL(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  KJ_SYSCALL(mount("bpf", "/mnt", "bpf", 0, nullptr));
  KJ_SYSCALL(chroot("/mnt"));
  KJ_SYSCALL(chdir("/"));
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_PERCPU_ARRAY;
  attr.key_size = 4;
  attr.value_size = 8;
  attr.max_entries = 1;
  Fd map(bpf.call(BPF_MAP_CREATE, attr));
  bpf.makeDirectory("/loads");
  bpf.makeDirectory("/loads/1");
  KJ_REQUIRE(bpf.pin(map, "/loads/1/m0") == 0);
}

[[noreturn]] void becomeSession(int control, int loader) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Fd first(fcntl(control, F_DUPFD_CLOEXEC, 100)), second(fcntl(loader, F_DUPFD_CLOEXEC, 100));
  close_range(3, 99, 0);
  RealBpf bpf;
  enterOwnBpffs(bpf);
  wire::Ceiling all = ceiling();
  Context context{bpf, all};
  serveSession(context, std::move(first), std::move(second));
}

[[noreturn]] void becomeLoader(int job, int session) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int btf = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
  int high[3] = {fcntl(job, F_DUPFD, 100), fcntl(session, F_DUPFD, 100), btf < 0 ? -1 : fcntl(btf, F_DUPFD, 100)};
  for (int i = 0; i < 3; ++i)
    if (high[i] >= 0) dup2(high[i], wire::fd::control + i);
  close_range(high[2] < 0 ? 5 : 6, ~0u, 0);
  int binary = open(LOADER_BINARY, O_RDONLY | O_CLOEXEC);  // may lie where nobody may not look
  bool lowered = setgroups(0, nullptr) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  char name[] = "bpfman-loader";
  char* const arguments[] = {name, nullptr};
  if (lowered && binary >= 0) fexecve(binary, arguments, environ);
  _exit(99);
}

}  // namespace

std::vector<unsigned char> example(const std::string& name) {
  std::ifstream file(std::string(EXAMPLES) + "/" + name + ".bpf.o", std::ios::binary);
  KJ_REQUIRE(file.good(), "no such example", name.c_str());
  return {std::istreambuf_iterator<char>(file), {}};
}

TestLoad::TestLoad(std::vector<TestWish> given) : wishes(std::move(given)) {
  utsname system;
  KJ_SYSCALL(uname(&system));
  kernelRelease = system.release;
  grant.mapTypes = ~0ull;
  grant.maxMaps = 64;
  grant.maxMapBytes = 32 << 20;

  Pair jobs = socketPair(), controls = socketPair(), between = socketPair();
  KJ_SYSCALL(sessionProcess = fork());
  if (sessionProcess == 0) becomeSession(controls.theirs, between.ours);
  KJ_SYSCALL(loaderProcess = fork());
  if (loaderProcess == 0) becomeLoader(jobs.theirs, between.theirs);
  job = kj::mv(jobs.ours);
  session = kj::mv(controls.ours);
}

TestLoad::~TestLoad() noexcept(false) {
  for (pid_t process : {loaderProcess, sessionProcess}) {
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
  }
}

std::vector<unsigned char> TestLoad::ask(wire::Op op, const void* fixed, size_t size) {
  wire::Header header{op, static_cast<uint32_t>(sizeof header + size)};
  sendPacket(session, {{reinterpret_cast<const unsigned char*>(&header), sizeof header}, {static_cast<const unsigned char*>(fixed), size}},
             nullptr);
  std::vector<unsigned char> answer(wire::MAX_MESSAGE);
  answer.resize(receivePacket(session, answer).size);
  return answer;
}

void TestLoad::sendJob(const std::vector<unsigned char>& object) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<schema::LoadJob>();
  root.setInspectOnly(inspectOnly);
  root.setToSign(toSign);
  root.setKernelRelease(kernelRelease.c_str());
  auto programs = root.initPrograms(wishes.size());
  for (size_t i = 0; i < wishes.size(); ++i) {
    programs[i].setName(wishes[i].name.c_str());
    programs[i].setType(wishes[i].type);
    programs[i].setExpectedAttachType(wishes[i].expectedAttachType);
    programs[i].setFamily(wishes[i].family.c_str());
    programs[i].setAttachTo(wishes[i].attachTo.c_str());
  }
  auto values = root.initGlobals(globals.size());
  for (size_t i = 0; i < globals.size(); ++i) {
    values[i].setName(globals[i].first.c_str());
    values[i].setValue(kj::arrayPtr(globals[i].second.data(), globals[i].second.size()));
  }
  auto reused = root.initReuse(reuse.size());
  for (size_t i = 0; i < reuse.size(); ++i) reused.set(i, reuse[i].c_str());
  auto pinned = root.initShared(shared.size());
  for (size_t i = 0; i < shared.size(); ++i) pinned.set(i, shared[i].c_str());

  auto flat = capnp::messageToFlatArray(builder);
  kj::AutoCloseFd memfd = sealedMemfd("object", {{object.data(), object.size()}});
  std::span<const unsigned char> bytes(flat.asBytes().begin(), flat.asBytes().size());
  if (bytes.size() <= wire::MAX_MESSAGE)
    sendPacket(job, {bytes}, memfd.get());
  else
    sendLargeJob(memfd.get(), sealedMemfd("job", {bytes}).get());
}

// Two descriptors beside an empty packet.
void TestLoad::sendLargeJob(int object, int words) {
  int both[2] = {object, words};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof both)] = {};
  msghdr packet{};
  packet.msg_control = control;
  packet.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&packet);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof both);
  memcpy(CMSG_DATA(header), both, sizeof both);
  KJ_SYSCALL(sendmsg(job, &packet, MSG_NOSIGNAL));
}

schema::LoadResult::Reader TestLoad::run(const std::vector<unsigned char>& object) {
  if (!granted && !inspectOnly) {
    granted = true;
    grant.programCount = wishes.size();
    grant.reuseCount = reuse.size() + shared.size();
    for (size_t i = 0; i < grant.reuseCount; ++i) grant.reuse[i] = {1, 0};
    for (size_t i = 0; i < wishes.size(); ++i) grant.programs[i] = {wishes[i].type, wishes[i].expectedAttachType, wishes[i].attachBtfId, 0};
    ask(wire::Op::grant, &grant, sizeof grant);
  }
  auto start = std::chrono::steady_clock::now();
  std::vector<unsigned char> buffer(wire::MAX_MESSAGE);
  ReceivedPacket packet;
  kj::runCatchingExceptions([&]() {  // a reset connection is an end too
    sendJob(object);
    packet = receivePacket(job, buffer);
  });
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  loaderEnded = packet.ended();
  if (loaderEnded) return {};
  if (!packet.descriptors.empty()) {
    buffer.resize(lseek(packet.descriptors[0], 0, SEEK_END));
    packet.size = pread(packet.descriptors[0], buffer.data(), buffer.size(), 0);
  }
  words = kj::heapArray<capnp::word>(packet.size / sizeof(capnp::word));
  memcpy(words.begin(), buffer.data(), packet.size);
  message = kj::heap<capnp::FlatArrayMessageReader>(words);
  auto result = message->getRoot<schema::LoadResult>();
  if (!result.isWanting()) return result;
  for (auto name : result.getWanting().getSymbols()) wanted.push_back(name.cStr());
  return run(object);
}

size_t TestLoad::residentKib() const {
  std::ifstream rollup("/proc/" + std::to_string(loaderProcess) + "/smaps_rollup");
  std::string word;
  size_t size = 0;
  while (rollup >> word)
    if (word == "Pss:") return rollup >> size, size;
  return 0;
}

}  // namespace bpfman
