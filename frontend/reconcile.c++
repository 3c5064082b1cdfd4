#include "frontend/reconcile.h"

#include <linux/bpf.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "frontend/chain-change.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/hook.h"
#include "frontend/kept-bytecode.h"
#include "frontend/libxdp-chain.h"
#include "frontend/persistence.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"

namespace bpfman {

namespace {

class Reconciliation {
 public:
  Reconciliation(Core& core, kj::WaitScope& scope) : core(core), scope(scope), place(core.workers.host(scope)) {}

  void run() {
    requireVersion();
    requireOk(place->worker.callPlain(wire::Op::wipeStaging).wait(scope), "wipe what was being loaded");
    auto present = numbersIn(wire::Dir::loads);
    core.changes.forgetGone(core, present, scope);
    forgetGone(present);
    core.engines.recover(scope);
    core.changes.recover(core, scope);
    undoLinks();
    undoLoads();
    bool fresh = core.catalog.loads().empty() && !present.empty();
    if (fresh) return keepUnknown(present);
    removeUnknown(present);
    finishUnloads();
    for (auto& [id, row] : core.catalog.loads())
      if (!row.own && row.missing.empty()) publish.push_back(id);
    for (uint32_t load : publish) core.loads.publish(load, scope);
    removeUnknownBytecode();
    if (removed + forgotten + undone > 0)
      spdlog::info("reconciled: {} under way undone, {} gone forgotten, {} unknown removed", undone, forgotten, removed);
  }

 private:
  Core& core;
  kj::WaitScope& scope;
  kj::Own<Place> place;
  std::vector<uint32_t> publish;
  size_t removed = 0, forgotten = 0, undone = 0;

  std::vector<std::string> namesIn(const wire::Pin& directory) {
    std::vector<std::string> names;
    for (;;) {
      auto reply = place->worker.call(wire::Op::list, wire::List{directory, static_cast<uint32_t>(names.size()), 0}).wait(scope);
      if (reply.result == -ENOENT) return names;
      size_t all = requireOk(reply, "list our bpffs"), before = names.size();
      for (auto p = reply.tail.begin(); p < reply.tail.end(); p += names.back().size() + 1)
        names.emplace_back(reinterpret_cast<const char*>(p));
      if (names.size() >= all || names.size() == before) return names;
    }
  }

  std::set<uint32_t> numbersIn(wire::Dir dir) {
    std::set<uint32_t> numbers;
    for (auto& name : namesIn(pinAt(dir))) numbers.insert(std::stoul(name));
    return numbers;
  }

  void requireVersion() {
    for (auto& name : namesIn(pinAt(wire::Dir::programs))) {
      if (name.rfind("version_", 0) != 0) continue;
      uint32_t version = std::stoul(name.substr(8));
      if (version > PIN_VERSION)
        refuse("the pins in ", core.runtimeDir(), "/fs were made by a newer bpfman (layout ", version, ", this one knows ", PIN_VERSION,
               "): nothing was touched; start that version again");
    }
  }

  // After a reboot, or when somebody emptied the bpffs.
  void forgetGone(const std::set<uint32_t>& present) {
    std::vector<uint32_t> gone;
    for (auto& [id, row] : core.catalog.loads())
      if (row.state == LoadRow::loaded && row.missing.empty() && !present.count(id)) gone.push_back(id);
    std::set<uint32_t> programs;
    for (uint32_t load : gone)
      for (auto program : core.catalog.programsOf(load)) programs.insert(program->id);
    for (uint32_t load : gone) {
      if (KJ_ASSERT_NONNULL(core.catalog.load(load)).persistent) {
        letWait(core, load);
        continue;
      }
      std::vector<uint32_t> links;
      for (auto program : core.catalog.programsOf(load))
        for (auto link : core.catalog.linksOf(program->id)) links.push_back(link->id);
      for (uint32_t link : links) core.catalog.eraseLink(link);
      forgotten += links.size() + 1;
      core.loads.undo(load, scope);
    }
    std::vector<DispatcherRow> dispatchers;
    for (auto& [key, row] : core.catalog.dispatchers())
      if (row.load != 0 ? !present.count(row.load) : !hasLinks(row)) dispatchers.push_back(row);
    for (auto& row : dispatchers) {  // a link went with its pin; a filter did not, nor what netlink attached
      if (row.engine == "libxdp") leaveLibxdp(row, programs);
      if (row.filterHandle != 0 || row.adopted != 0) detachDispatcher(core.workers, core.broker, chainHookOf(row), row, scope);
      core.catalog.eraseDispatcher(row.type, row.nsid, row.ifindex);
    }
  }

  // A dispatcher that another tool made, with ours in it or soon: that they are still there tells that it may be, too.
  bool hasLinks(const DispatcherRow& row) {
    LinkRow some = linkOn(chainHookOf(row));
    return std::ranges::any_of(core.catalog.linksOn(some.kind, some.nsid, some.ifindex, some.direction),
                               [](auto link) { return !isWaiting(*link); });
  }

  // The pins of its members are where libxdp has them, and may have outlived ours: what was ours leaves that chain.
  void leaveLibxdp(const DispatcherRow& row, const std::set<uint32_t>& programs) {
    for (uint32_t i = 0; i < XDP_MULTI_POSITIONS; ++i) {
      wire::Pin pin = pinAt(wire::Dir::xdpPrograms, row.ifindex, row.programId, i);
      auto reply = place->worker.call(wire::Op::inspect, pin).wait(scope);
      if (reply.result < 0 || !programs.count(infoOf<bpf_prog_info>(reply).id)) continue;
      remove(pinAt(wire::Dir::xdpLinks, row.ifindex, row.programId, i));
      remove(pin);
    }
  }

  void undoLinks() {
    std::vector<LinkRow> links;
    for (auto& [id, row] : core.catalog.links())
      if (row.state != LinkRow::attached && core.changes.waitingOn(core, row) == nullptr) links.push_back(row);
    for (auto& link : links) {
      if (core.catalog.link(link.id) == nullptr) continue;  // it went with another
      auto failure = kj::runCatchingExceptions([&]() { hookOf(link).hook.detach(core, link, scope); });
      KJ_IF_MAYBE (exception, failure)  // must not keep the daemon from starting
        spdlog::error("link {} can't be taken back, 'bpfman link detach' tries again: {}", link.id, exception->getDescription().cStr());
      ++undone;
    }
  }

  void undoLoads() {
    std::set<uint32_t> inUse;
    for (auto& [key, row] : core.catalog.dispatchers()) inUse.insert(row.load);
    std::vector<uint32_t> loads;
    for (auto& [id, row] : core.catalog.loads()) {
      bool orphan = row.own && row.purpose.rfind("dispatcher:", 0) == 0 && !inUse.count(id);
      if (row.state != LoadRow::loaded || orphan || isHalfUpdate(row)) loads.push_back(id);
    }
    for (uint32_t load : loads) {
      core.loads.undo(load, scope);
      ++undone;
    }
  }

  // Loaded to replace a program that is still there, and no change remembers both.
  bool isHalfUpdate(const LoadRow& row) {
    for (auto program : core.catalog.programsOf(row.load)) {
      for (auto& [id, change] : core.catalog.changes())
        if (change.replacement == program->id) return false;
      for (auto& [id, other] : core.catalog.programs())
        if (!row.own && row.purpose == updatePurpose(id)) return true;
    }
    return false;
  }

  void removeUnknownBytecode() {
    std::set<uint32_t> persistent;
    for (auto& [id, row] : core.catalog.loads())
      if (row.persistent) persistent.insert(id);
    KeptBytecode::removeOthers(persistent);
  }

  // The program's own pin goes first of all that can't be made again: without it only the rest of its unload is left to do.
  void finishUnloads() {
    std::vector<uint32_t> half;
    for (auto& [id, row] : core.catalog.loads()) {
      if (!row.missing.empty()) continue;
      std::set<std::string> pins;
      if (!row.own)
        for (auto& name : namesIn(pinAt(wire::Dir::loads, id))) pins.insert(name);
      for (auto program : core.catalog.programsOf(id))
        if (!row.own && !pins.count("p" + std::to_string(program->index))) half.push_back(program->id);
    }
    for (uint32_t program : half) core.loads.removeProgram(program, scope);
    undone += half.size();
  }

  // The catalogue was lost, the pins are there: they may be in use, so they stay.
  void keepUnknown(const std::set<uint32_t>& present) {
    spdlog::warn(
        "the catalogue knows nothing, but {}/fs has {} loads of an earlier one: they keep running and are left alone. "
        "To remove them, stop bpfmand and unmount {}/fs",
        core.runtimeDir().cStr(), present.size(), core.runtimeDir().cStr());
    uint32_t lastLink = 0;
    for (uint32_t link : numbersIn(wire::Dir::links)) lastLink = kj::max(lastLink, link);
    core.catalog.skipIds(*present.rbegin(), lastLink + 1024);  // their numbers are taken; members' and TCX links have none of their own
  }

  void remove(const wire::Pin& pin) {
    removed += requireOk(place->worker.call(wire::Op::remove, pin).wait(scope), "remove an unknown pin");
  }

  void removeUnknown(const std::set<uint32_t>& present) {
    std::set<std::string> links;  // what our rows have
    for (auto& [id, row] : core.catalog.links()) links.insert(pathOf("", hookOf(row).hook.pinOf(row)).cStr());
    for (auto& [key, row] : core.catalog.dispatchers())
      if (row.adopted != 0) links.insert(pathOf("", adoptedPin(chainHookOf(row))).cStr());
    auto sweep = [&](wire::Dir dir, const char* pattern) {
      for (auto& name : namesIn(pinAt(dir))) {
        wire::Pin pin = pinAt(dir);
        if (sscanf(name.c_str(), pattern, &pin.a, &pin.b, &pin.c) >= 1 && !links.count(pathOf("", pin).cStr())) remove(pin);
      }
    };
    sweep(wire::Dir::links, "%u");
    sweep(wire::Dir::tcxIngress, "link_%u_%u_%u");
    sweep(wire::Dir::tcxEgress, "link_%u_%u_%u");
    sweepDispatchers("xdp", wire::Dir::dispatchers, wire::Dir::members, links);
    sweepDispatchers("tc-ingress", wire::Dir::tcIngress, wire::Dir::tcIngressMembers, links);
    sweepDispatchers("tc-egress", wire::Dir::tcEgress, wire::Dir::tcEgressMembers, links);
    for (auto& name : namesIn(pinAt(wire::Dir::programs))) {
      uint32_t id;
      if (sscanf(name.c_str(), "prog_%u", &id) == 1 && core.catalog.program(id) == nullptr) remove(pinAt(wire::Dir::programs, id));
    }
    for (uint32_t id : numbersIn(wire::Dir::maps))
      if (core.catalog.program(id) == nullptr)
        for (auto& name : namesIn(pinAt(wire::Dir::maps, id))) remove(pinAt(wire::Dir::maps, id, 0, 0, name.c_str()));
    for (uint32_t load : present)
      if (core.catalog.load(load) == nullptr) {
        requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{load, 0}).wait(scope), "remove an unknown load");
        ++removed;
      }
  }

  // TYPE/dispatcher_NSID_IFINDEX_link and, of engine freplace, _PROGRAM_progN; and the members' pins in TYPE/dispatcher_NSID_IFINDEX/
  void sweepDispatchers(const std::string& type, wire::Dir dispatchers, wire::Dir members, const std::set<std::string>& links) {
    std::map<std::pair<uint32_t, uint32_t>, std::string> known;  // with their programs
    for (auto& [key, row] : core.catalog.dispatchers())
      if (row.type == type) known[{static_cast<uint32_t>(row.nsid), row.ifindex}] = std::to_string(row.programId);
    for (auto& name : namesIn(pinAt(dispatchers))) {
      uint32_t nsid, ifindex;
      int end = 0;
      if (sscanf(name.c_str(), "dispatcher_%u_%u%n", &nsid, &ifindex, &end) != 2) continue;
      if (name[end] == '_') {  // its own link, or a member's
        std::string rest = name.substr(end + 1);
        auto chain = known.find({nsid, ifindex});
        bool wanted = chain != known.end() && (rest == "link" || rest.rfind(chain->second + "_", 0) == 0);
        if (!wanted && isPinName(rest.c_str())) remove(pinAt(dispatchers, nsid, ifindex, 0, rest.c_str()));
        continue;
      }
      for (auto& member : namesIn(pinAt(members, nsid, ifindex))) {
        wire::Pin pin = pinAt(members, nsid, ifindex);
        if (sscanf(member.c_str(), "link_%u", &pin.c) == 1 && !links.count(pathOf("", pin).cStr())) remove(pin);
      }
    }
  }
};

}  // namespace

void reconcile(Core& core, kj::WaitScope& scope) { Reconciliation(core, scope).run(); }

}  // namespace bpfman
