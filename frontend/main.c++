// bpfman-frontend: serves the RPC without any privilege. It decides; the worker, within the ceiling, does.
#include <fcntl.h>
#include <linux/landlock.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <capnp/rpc-twoparty.h>
#include <kj/debug.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "frontend/chain-change.h"
#include "frontend/interface-watch.h"
#include "frontend/listener.h"
#include "frontend/persistence.h"
#include "frontend/reconcile.h"
#include "frontend/tickets.h"
#include "seccomp/confine.h"
#include "seccomp/landlock.h"

namespace bpfman {

namespace {

namespace fd = wire::fd::frontend;

constexpr auto RESTORING = 10 * kj::SECONDS;  // of which clients see nothing

wire::FrontendOptions readOptions() {
  wire::FrontendOptions options;
  KJ_REQUIRE(pread(fd::options, &options, sizeof options, 0) == sizeof options, "no options; bpfman-frontend is started by bpfmand");
  return options;
}

uint64_t ownNamespace(const char* kind) {
  struct stat status;
  KJ_SYSCALL(stat(kj::str("/proc/self/ns/", kind).cStr(), &status));
  return status.st_ino;
}

std::string bootId() {
  char text[37] = {};
  int file;
  KJ_SYSCALL(file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  kj::AutoCloseFd owned(file);
  KJ_SYSCALL(read(file, text, sizeof text - 1));
  return text;
}

void logToStandardError() {
  auto logger = spdlog::stderr_logger_mt("frontend");
  logger->set_pattern("%l: %v");
  spdlog::set_default_logger(logger);
}

// Of the kernel's modules: what each has in types, and which there are. Anyone may read both; -1: this kernel has no modules.
struct OpenedModules {
  kj::AutoCloseFd types{open("/sys/kernel/btf", O_PATH | O_DIRECTORY | O_CLOEXEC)}, loaded{open("/proc/modules", O_RDONLY | O_CLOEXEC)};
};

void closeIn(int modules) {
  constexpr uint64_t files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER;
  std::vector<FileRule> rules{{fd::stateDir, files}, {fd::runtimeDir, files}};
  struct stat status;
  if (fstat(fd::cgroups, &status) == 0 && S_ISDIR(status.st_mode)) rules.push_back({fd::cgroups, LANDLOCK_ACCESS_FS_READ_DIR});
  if (modules >= 0) rules.push_back({modules, LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE});
  restrictFiles(rules.data(), rules.size());
  noCoreDumps();
  enterPolicy(seccomp::FRONTEND_POLICY);
}

// What outlives a reboot comes back, then interfaces are followed. Who starts us waits for a while, so that a firewall is there when others
// start; what takes longer does not keep us from serving.
kj::Promise<void> restore(Core& core, InterfaceWatch& watch, kj::Own<kj::PromiseFulfiller<void>> done) {
  return core.fibers.startFiber([&core, &watch, done = kj::mv(done)](kj::WaitScope& scope) mutable {
    auto attempt = [](auto&& body) {
      KJ_IF_MAYBE (exception, kj::runCatchingExceptions(body)) spdlog::error("restoring: {}", exception->getDescription().cStr());
    };
    attempt([&]() { loadAgain(core, scope); });
    attempt([&]() { followInterfaces(core, true, scope); });
    done->fulfill();
    watch.run(scope);
  });
}

struct TakenPolicy {
  Policy policy;
  bool asItIsNow;
};

// The policy file as it is now, or, when that is wrong, as it last was right. None: it never was, and we don't begin without one.
// Names are looked up now: later the file system is closed.
kj::Maybe<TakenPolicy> takePolicy(kj::StringPtr name) {
  kj::Maybe<TakenPolicy> taken;
  KJ_IF_MAYBE (mistake, kj::runCatchingExceptions([&]() { taken = TakenPolicy{Policy::parse(fd::policy, name), true}; })) {
    struct stat status;
    bool kept = fstat(fd::keptPolicy, &status) == 0 && S_ISREG(status.st_mode);
    spdlog::error("policy: {}", mistake->getDescription().cStr());
    spdlog::error("policy: {}", kept ? "this file is refused as a whole: the policy of before stays in force"
                                     : "bpfmand does not start without a right policy; 'bpfman policy check' tries one");
    if (kept) taken = TakenPolicy{Policy::parse(fd::keptPolicy, name, thisMachine(), Names::mayBeGone), false};
  }
  return taken;
}

int run() {
  mallopt(M_MMAP_THRESHOLD, 256 << 10);  // large buffers go back to the kernel at once: at rest we are small
  logToStandardError();
  wire::FrontendOptions options = readOptions();
  auto taken = takePolicy(options.policyPath);
  if (taken == nullptr) return wire::WRONG_POLICY;
  auto& [policy, asItIsNow] = KJ_ASSERT_NONNULL(taken);
  for (auto& note : policy.notes()) spdlog::warn("policy: {}", note);
  uint64_t hostNsid = ownNamespace("net"), hostUserNamespace = ownNamespace("user");
  uint32_t possibleCpus = sysconf(_SC_NPROCESSORS_CONF);

  auto io = kj::setupAsyncIo();
  kj::FiberPool fibers(256 << 10);
  Intake intake(fd::cgroups);
  KJ_SYSCALL(fchdir(fd::stateDir));
  Catalog catalog;
  Audit audit("audit.log", limits::AUDIT_BYTES, limits::AUDIT_FILES);
  if (!catalog.report().empty()) spdlog::warn("{}", catalog.report());
  std::string boot = bootId();
  int hostNetns;
  KJ_SYSCALL(hostNetns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  auto events = openInterfaceEvents();
  auto& timer = io.provider->getTimer();
  BrokerChannel broker(io.unixEventPort, timer, kj::AutoCloseFd(wire::fd::control));
  Workers workers(io.unixEventPort, timer, broker, hostNsid);
  LoaderPool pool(io.unixEventPort, broker, workers, fibers, options.poolSize);
  KernelBtf btf(fd::kernelBtf);
  OpenedModules files;
  ModuleBtf modules(fd::kernelBtf, files.types, files.loaded);
  Loads loads(timer, catalog, workers, pool, btf, modules, broker, fd::runtimeDir, options.verifierSeconds * kj::SECONDS, options.ceiling);
  closeIn(files.types);  // from here on only what the policy lists; before the first thread, as Landlock covers those that begin later

  Engines engines(newTailcallEngine(io.unixEventPort, catalog, workers, loads, broker, fibers, options.preferTcx != 0, possibleCpus),
                  newLibxdpEngine(catalog, workers, loads, broker, policy),
                  newFreplaceEngine(catalog, workers, loads, broker, options.preferTcx != 0), {options.xdpEngine, options.tcEngine});
  Accounts accounts;
  Tickets tickets;
  Callers callers(loads, catalog, workers, hostUserNamespace);
  ElementIterators elements(loads, catalog, workers, possibleCpus);
  Changes changes;
  Core core{io,      options,  fibers, intake,  policy,   catalog, broker,    workers,      loads, btf,
            engines, accounts, audit,  tickets, elements, callers, hostNetns, possibleCpus, {},    changes};
  SystemView system(core);
  kj::Vector<kj::Own<Listener>> listeners;
  listeners.add(kj::heap<Listener>(core, system, fd::listener, "host", nullptr));
  for (uint32_t i = 0; i < wire::MAX_CLIENTS && options.clients[i].name[0] != 0; ++i)
    listeners.add(kj::heap<Listener>(core, system, fd::clients + i, options.clients[i].name + 0, options.clients[i].uid));
  TicketWindow window(core, fd::tickets);
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { catalog.setBootId(boot); }))
    spdlog::warn("{}", exception->getDescription().cStr());
  InterfaceWatch watch(core, kj::mv(events));
  reconcile(core, io.waitScope);
  system.install(io.waitScope);
  engines.start(io.waitScope);
  callers.install(io.waitScope);
  pool.refill();
  auto restored = kj::newPromiseAndFulfiller<void>();
  auto following = restore(core, watch, kj::mv(restored.fulfiller)).eagerlyEvaluate([](kj::Exception&& exception) {
    spdlog::error("interfaces are not followed any more: {}", exception.getDescription().cStr());
  });
  restored.promise.exclusiveJoin(timer.afterDelay(RESTORING)).wait(io.waitScope);
  broker.ready(asItIsNow).wait(io.waitScope);
  auto retiring = workers.retireIdle().eagerlyEvaluate(nullptr);
  kj::Vector<kj::Promise<void>> serving;
  for (auto& listener : listeners) serving.add(listener->serve());
  serving.add(window.serve());
  kj::joinPromises(serving.releaseAsArray()).wait(io.waitScope);
  return 0;
}

}  // namespace

}  // namespace bpfman

int main() {
  int status = 1;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&]() { status = bpfman::run(); }))
    spdlog::error("{}", exception->getDescription().cStr());
  return status;
}
