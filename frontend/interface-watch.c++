#include "frontend/interface-watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/dispatcher-attachment.h"
#include "frontend/hook-chain.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr auto PERIOD = 15 * kj::SECONDS, RETRY = 1 * kj::SECONDS;
constexpr auto SETTLING = 20 * kj::MILLISECONDS;  // an interface that is made is also moved, named and set up: one look for all of it
constexpr size_t LARGEST_EVENT = 64 << 10;        // bytes; above it, it is cut, and what is missing is seen by the next look

using Hooks = std::map<std::tuple<uint16_t, uint64_t, uint32_t, uint8_t>, LinkRow>;  // kind, nsid, ifindex, direction

// All of interfaces that we have anything on: a chain may be left without members by a death.
Hooks hooksOf(const Catalog& catalog) {
  Hooks hooks;
  auto add = [&](const LinkRow& link) {
    LinkRow hook = link;
    hook.id = 0;
    hooks.emplace(std::tuple(link.kind, link.nsid, link.ifindex, link.direction), kj::mv(hook));
  };
  for (auto& [key, row] : catalog.dispatchers()) add(linkOn(chainHookOf(row)));
  for (auto& [id, link] : catalog.links())
    if (link.ifindex != 0) add(link);
  return hooks;
}

// The links stay where they are: only what they are called changes.
void rename(Core& core, const LinkRow& hook, const std::string& name) {
  std::vector<LinkRow> links;
  std::vector<DispatcherRow> dispatchers;
  auto here = [&](auto& row) { return row.nsid == hook.nsid && row.ifindex == hook.ifindex && row.interface != name; };
  for (auto& [id, link] : core.catalog.links())
    if (here(link)) links.push_back(link);
  for (auto& [key, row] : core.catalog.dispatchers())
    if (here(row)) dispatchers.push_back(row);
  if (links.empty() && dispatchers.empty()) return;
  spdlog::info("interface {} is called {} now: {} links of it follow", hook.interface, name, links.size());
  core.catalog.transaction([&]() {
    for (auto& link : links) link.interface = name, core.catalog.put(link);
    for (auto& row : dispatchers) row.interface = name, core.catalog.put(row);
  });
}

}  // namespace

kj::AutoCloseFd openInterfaceEvents() {
  int descriptor;
  KJ_SYSCALL(descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  kj::AutoCloseFd events(descriptor);
  Netlink(descriptor).interfaceAt(1);  // whoever asks gets an address; without one the kernel tells nothing
  int group = RTNLGRP_LINK;
  KJ_SYSCALL(setsockopt(descriptor, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  return events;
}

void followInterfaces(Core& core, bool all, kj::WaitScope& scope) {
  Hooks hooks = hooksOf(core.catalog);
  auto waits = [](auto& each) { return isWaiting(each.second); };
  if (hooks.empty() && std::ranges::none_of(core.catalog.links(), waits)) return;
  std::map<uint32_t, std::string> names;
  for (auto& interface : Netlink(core.workers.host(scope)->netlink).interfaces()) names[interface.index] = interface.name;
  bool failed = false;
  auto attempt = [&](auto&& body) {
    KJ_IF_MAYBE (exception, kj::runCatchingExceptions(body)) {
      spdlog::warn("following the interfaces: {}", exception->getDescription().cStr());
      failed = true;
    }
  };
  for (auto& [key, hook] : hooks) {
    auto found = hook.hostNetns ? names.find(hook.ifindex) : names.end();
    if (all || found == names.end()) attempt([&, &hook = hook]() { hookOf(hook).hook.follow(core, hook, scope); });
    if (found != names.end() && found->second != hook.interface) attempt([&, &hook = hook]() { rename(core, hook, found->second); });
  }
  attempt([&]() { attachWaiting(core, scope); });
  if (failed) refuse("not all could be looked at");
}

InterfaceWatch::InterfaceWatch(Core& core, kj::AutoCloseFd events)
    : core(core), events(kj::mv(events)), observer(core.io.unixEventPort, this->events, kj::UnixEventPort::FdObserver::OBSERVE_READ) {}

void InterfaceWatch::run(kj::WaitScope& scope) {
  auto& timer = core.io.provider->getTimer();
  auto next = timer.now();
  for (;;) {
    if (!readEvents() && timer.now() < next) {
      observer.whenBecomesReadable().exclusiveJoin(timer.atTime(next)).wait(scope);
      continue;
    }
    timer.afterDelay(SETTLING).wait(scope);
    readEvents();  // the look sees them
    auto failure = kj::runCatchingExceptions([&]() { followInterfaces(core, false, scope); });
    next = timer.now() + (failure == nullptr ? PERIOD : RETRY);
  }
}

// What interfaces we have something on, or something that waits for them. An index that is called otherwise was renamed.
bool InterfaceWatch::readEvents() {
  std::map<uint32_t, std::string> ours;
  std::set<std::string> waiting;
  for (auto& [key, hook] : hooksOf(core.catalog))
    if (hook.hostNetns) ours[hook.ifindex] = hook.interface;
  for (auto& [id, link] : core.catalog.links())
    if (isWaiting(link)) waiting.insert(link.interface);
  bool concerned = false;
  std::vector<std::byte> packet(LARGEST_EVENT);
  for (;;) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    ssize_t size = recvfrom(events, packet.data(), packet.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return concerned;
    if (size < 0) {
      KJ_REQUIRE(errno == ENOBUFS, "hear of interfaces", strerror(errno));
      concerned = true;  // so many that some were lost
      continue;
    }
    if (from.nl_pid != 0) continue;  // not the kernel
    for (auto& message : splitMessages(std::span(packet).first(size)))
      if (auto change = decodeChange(message)) {
        auto mine = ours.find(change->interface.index);
        concerned |= mine != ours.end() && (change->gone || change->interface.name != mine->second);
        concerned |= !change->gone && waiting.count(change->interface.name) > 0;
      }
  }
}

}  // namespace bpfman
