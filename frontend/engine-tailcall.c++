// The engine for kernels that refuse freplace programs: a dispatcher whose slots are tail calls (dispatchers/tailcall.bpf.h). Two
// banks hold a chain each; one word says which is in use. A change fills the other bank, flips the word, and after a grace period takes out
// of the old bank who is in the chain no more: no packet ever sees half of it, and a bank is used again only when nobody can be in it.
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <kj/debug.h>
#include <spdlog/spdlog.h>

#include "dispatchers/objects.h"
#include "dispatchers/tailcall.h"
#include "frontend/chain.h"
#include "frontend/clock.h"
#include "frontend/dispatcher-attachment.h"
#include "frontend/grace.h"
#include "frontend/load.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class TailcallEngine final : public ChainEngine, private kj::TaskSet::ErrorHandler {
 public:
  TailcallEngine(kj::UnixEventPort& port, Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker, kj::FiberPool& fibers,
                 bool preferTcx, uint32_t possibleCpus)
      : catalog(catalog),
        workers(workers),
        loads(loads),
        broker(broker),
        fibers(fibers),
        preferTcx(preferTcx),
        possibleCpus(possibleCpus),
        grace(port),
        tasks(*this) {}

  kj::StringPtr name() const override { return "tailcall"; }
  kj::StringPtr reason() const override { return "it works on every kernel from 6.1 on"; }
  uint32_t capacity() const override { return CHAIN_POSITIONS; }

  bool start(kj::WaitScope&) override { return true; }

  // Its link lets nobody else in. Of an adopted program only the pin is asked: without one it has been given back already, or did not come
  // in, and death was faster than the row.
  Present look(const ChainHook& hook, const std::vector<OursInChain>&, kj::WaitScope& scope) override {
    Present present;
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
      if (row->adopted == 0) return present;
      int32_t priority = row->adoptedPriority;
      auto host = workers.host(scope);
      auto reply = host->worker.call(wire::Op::inspect, adoptedPin(hook)).wait(scope);
      if (reply.result == -ENOENT) return present;
      requireOk(reply, "look at the adopted program");
      auto info = infoOf<bpf_prog_info>(reply);
      present.others.push_back(adopted(hook, info.id, std::string(info.name, strnlen(info.name, sizeof info.name)), priority));
    }
    return present;
  }

  // The kernel refuses what its program array can't hold when the chain is filled, before anything changes for packets.
  void adopt(const ChainHook& hook, Present& present, int32_t priority, kj::WaitScope& scope) override {
    if (catalog.dispatcher(hook.type, hook.nsid, hook.ifindex) != nullptr) return;
    auto host = workers.host(scope);
    static_cast<RunningXdp&>(present) = runningXdp(*host, hook.ifindex);
    if (present.program == 0) return;
    if (libxdpConfigOf(present.program, *host, scope) != nullptr)
      refuse("interface ", hook.interface.c_str(), " has a dispatcher of the libxdp protocol (program ", present.program,
             "), whose tools would lose it: share it instead, by a program that is loaded with --engine libxdp");
    KJ_IF_MAYBE (link, xdpLinkOf(present.program, hook.ifindex, *host, scope))
      refuse("program ", present.program, " on ", hook.interface.c_str(), " can't be adopted: it is attached by a link (id ", *link,
             "), and the kernel lets only the link's owner put another program in its place");
    present.adoptAs = priority;
    present.others.push_back(adopted(hook, present.program, nameOfProgram(present.program, *host, scope), priority));
  }

  Applied apply(const ChainHook& hook, Present& present, const ChainWish& wish, kj::Maybe<Place&> place, kj::WaitScope& scope) override {
    KJ_REQUIRE(wish.members.size() <= capacity());
    bool nothing = !wish.stays && std::ranges::none_of(wish.members, [](auto& member) { return member.link != 0; });
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
      DispatcherRow dispatcher = *row;
      if (nothing) {
        remove(hook, dispatcher, scope);
        return {};
      }
      change(hook, dispatcher, wish, scope);
      ++dispatcher.revision;
      return {kj::mv(dispatcher), {}};
    }
    if (nothing) return {};
    return {create(hook, present, wish, KJ_REQUIRE_NONNULL(place, "a new dispatcher needs its namespace"), scope), {}};
  }

  bool keepsTime() const override { return true; }

  void confirm(const ChainHook& hook, kj::WaitScope& scope) override {
    KJ_IF_MAYBE (row, catalog.dispatcher(hook.type, hook.nsid, hook.ifindex)) {
      uint32_t load = row->load;
      auto place = workers.host(scope);
      uint32_t bank = activeBank(*place, load, scope);
      auto chain = bankOf(*place, load, bank, scope);
      if (chain.timed) {
        chain.timed = 0;  // the time stays as it is: nobody sees half of another
        requireOk(update(*place, mapOf(load, "banks"), bank, chain).wait(scope), "confirm the dispatcher's chain");
      }
      clean(hook, load);  // also when it was confirmed by somebody who died then
    }
  }

  void recover(kj::WaitScope&) override {
    for (auto& [key, row] : catalog.dispatchers())
      if (row.engine == "tailcall") clean(chainHookOf(row), row.load);
  }

  void settle(const ChainHook& hook, kj::WaitScope& scope) override {
    auto found = cleaning.find(keyOf(hook));
    if (found != cleaning.end()) found->second.addBranch().wait(scope);
  }

  kj::StringPtr noCounters() const override { return ""; }

  // In place, in both banks: nothing but one word differs from what packets read meanwhile, and whichever bank runs next has it.
  void count(const ChainHook& hook, Counting counting, kj::WaitScope& scope) override {
    uint32_t load = dispatcherOn(hook).load;
    auto place = workers.host(scope);
    for (uint32_t bank = 0; bank < CHAIN_BANKS; ++bank) {
      chain_bank chain = bankOf(*place, load, bank, scope);
      chain.flags = withCounting(chain.flags, counting);
      requireOk(update(*place, mapOf(load, "banks"), bank, chain).wait(scope), "switch the dispatcher's counters");
    }
  }

  ChainCounts counts(const ChainHook& hook, kj::WaitScope& scope) override {
    uint32_t load = dispatcherOn(hook).load;
    auto place = workers.host(scope);
    chain_bank chain = bankOf(*place, load, bankInUse(*place, load, scope), scope);
    ChainCounts result{countingOf(chain.flags)};
    if (result.counting == Counting::off) return result;
    for (uint32_t i = 0; i < chain.count; ++i) {
      std::vector<kj::Promise<WorkerReply>> replies;
      for (uint32_t word = 0; word < wordsOf(hook); ++word)
        replies.push_back(lookUp(*place, mapOf(load, "counters"), chain.counter[i] * wordsOf(hook) + word));
      MemberCounts& counts = result.members.emplace_back();
      counts.link = chain.link[i];
      for (uint32_t word = 0; word < wordsOf(hook); ++word) {
        auto reply = replies[word].wait(scope);
        requireOk(reply, "read the dispatcher's counters");
        addWord(counts, word, reply.tail);
      }
    }
    return result;
  }

 private:
  Catalog& catalog;
  Workers& workers;
  Loads& loads;
  BrokerChannel& broker;
  kj::FiberPool& fibers;
  bool preferTcx;
  uint32_t possibleCpus;
  GracePeriods grace;
  std::map<Catalog::DispatcherKey, kj::ForkedPromise<void>> cleaning;  // the last change's old bank is being emptied
  kj::TaskSet tasks;

  static Catalog::DispatcherKey keyOf(const ChainHook& hook) { return {hook.type, hook.nsid, hook.ifindex}; }

  static uint32_t wordsOf(const ChainHook& hook) {
    return hook.isXdp() ? COUNTER_WORDS(XDP_COUNTED_VERDICTS) : COUNTER_WORDS(TC_COUNTED_VERDICTS);
  }

  const DispatcherRow& dispatcherOn(const ChainHook& hook) {
    return KJ_REQUIRE_NONNULL(catalog.dispatcher(hook.type, hook.nsid, hook.ifindex), "no dispatcher there");
  }

  wire::Pin mapOf(uint32_t load, kj::StringPtr name) {
    KJ_IF_MAYBE (row, catalog.load(load))
      for (const MapRow& map : row->maps)
        if (name == map.name.c_str()) return loadedMap(load, map.index);
    KJ_FAIL_REQUIRE("the dispatcher's object has no such map", name);
  }

  static OtherMember adopted(const ChainHook& hook, uint32_t program, std::string name, int32_t priority) {
    return {program, std::move(name), priority, XDP_VERDICTS.defaultMask, false, adoptedPin(hook), true};
  }

  // In place of a program that is adopted, or where nothing is. A chain that holds only for a time leaves the adopted one alone in the
  // other bank.
  DispatcherRow create(const ChainHook& hook, const Present& present, const ChainWish& chain, Place& place, kj::WaitScope& scope) {
    LoadWish wish;
    wish.purpose = kj::str("dispatcher:", hook.type.c_str(), ':', hook.nsid, ':', hook.ifindex).cStr();
    uint64_t counters = CHAIN_COUNTERS * wordsOf(hook) * sizeof(uint64_t) * (possibleCpus + 1ull);
    wish.maxMapBytes = kj::max(1ull << 20, counters + (64 << 10));
    if (hook.isXdp())
      wish.programs.push_back({0, "xdp_dispatcher", "", "xdp", BPF_PROG_TYPE_XDP, BPF_XDP});
    else
      wish.programs.push_back({0, "tc_dispatcher", "", "tc", BPF_PROG_TYPE_SCHED_CLS, 0});
    auto object = hook.isXdp() ? xdpTailcallDispatcher() : tcTailcallDispatcher();
    LoadOutcome outcome = loads.loadOwn(wish, kj::arrayPtr(object.data(), object.size()), scope);
    KJ_IF_MAYBE (refused, outcome.refused)
      refuse("this kernel refuses the ", hook.type.c_str(), " dispatcher: ", refused->reason.c_str(), "\n", refused->verifierLog.c_str());

    DispatcherRow row;
    row.type = hook.type, row.nsid = hook.nsid, row.ifindex = hook.ifindex, row.revision = 1;
    row.load = outcome.load, row.programId = outcome.programs[0];
    row.netnsPath = hook.netnsPath, row.interface = hook.interface, row.hostNetns = hook.host;
    auto failure = kj::runCatchingExceptions([&]() {
      KJ_IF_MAYBE (priority, present.adoptAs) {
        row.adopted = present.program, row.adoptedPriority = *priority;
        pinAdopted(workers, broker, hook, row.adopted, scope);
        ChainWish before;
        std::ranges::copy_if(chain.members, std::back_inserter(before.members), [](auto& member) { return member.link == 0; });
        if (chain.until != 0) fill(hook, row.load, 1, before, {}, scope);
      }
      fill(hook, row.load, 0, chain, {}, scope);  // the array is pinned and filled before the first packet
      if (row.adopted != 0)
        takeOver(workers, broker, hook, row, present, catalog, scope);
      else
        attachDispatcher(hook, row, place, catalog, preferTcx ? TcBy::link : TcBy::filter, scope);
    });
    KJ_IF_MAYBE (exception, failure) {
      detachDispatcher(workers, broker, hook, row, scope);
      catalog.eraseDispatcher(hook.type, hook.nsid, hook.ifindex);
      loads.undo(row.load, scope);
      kj::throwFatalException(kj::mv(*exception));
    }
    return row;
  }

  bool isForeign(const ChainMember& member) {  // adopted, or handed over: somebody else chose how it was loaded
    KJ_IF_MAYBE (row, catalog.program(member.program)) return isTaken(KJ_ASSERT_NONNULL(catalog.load(row->load)));
    return member.link == 0;
  }

  // The map by which the kernel tells a program from those that a program array takes; "": it uses none.
  std::string cgroupStorageOf(const ChainMember& member, kj::WaitScope& scope) {
    auto place = workers.host(scope);
    auto inspect = [&](const wire::Pin& pin) { return place->worker.call(wire::Op::inspect, pin).wait(scope); };
    auto used = mapIdsOf(inspect(member.pin()));
    KJ_IF_MAYBE (load, catalog.load(member.load))
      for (const MapRow& map : load->maps) {
        auto reply = inspect(loadedMap(load->load, map.index));
        uint32_t type = reply.result < 0 ? 0 : infoOf<bpf_map_info>(reply).type;
        if (type != BPF_MAP_TYPE_CGROUP_STORAGE && type != BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE) continue;
        if (std::ranges::find(used, map.id) != used.end()) return map.name;
      }
    return "";
  }

  // The bank that is not in use; whoever fills it waited for the grace period. Members that were in the running chain go on counting.
  void fill(const ChainHook& hook, uint32_t load, uint32_t bank, const ChainWish& wish, const chain_bank& running, kj::WaitScope& scope) {
    auto& members = wish.members;
    auto place = workers.host(scope);
    std::vector<kj::Promise<WorkerReply>> replies;
    for (uint32_t i = 0; i < members.size(); ++i) {
      wire::SetSlot slot{mapOf(load, "slots"), members[i].pin(), bank * CHAIN_POSITIONS + i, 1};
      replies.push_back(place->worker.call(wire::Op::setSlot, slot));
    }
    chain_bank chain{};
    chain.count = members.size();
    chain.timed = wish.until != 0;
    chain.until = wish.until;
    chain.flags = running.flags;
    for (uint32_t i = 0; i < members.size(); ++i) chain.proceed[i] = members[i].proceedOn, chain.link[i] = members[i].link;
    auto fresh = giveCounters(chain, running);
    if (!(running.flags & CHAIN_COUNTED)) fresh.clear();  // all are zero
    for (uint32_t counter : fresh)
      for (uint32_t word = 0; word < wordsOf(hook); ++word)
        replies.push_back(setZero(*place, mapOf(load, "counters"), counter * wordsOf(hook) + word));
    replies.push_back(update(*place, mapOf(load, "banks"), bank, chain));
    for (uint32_t i = 0; i < replies.size(); ++i) {
      auto answer = replies[i].wait(scope);
      if (i < members.size() && isForeign(members[i]) && (answer.result == -EINVAL || answer.result == -EBUSY))
        refuse("the kernel takes program ", members[i].program, " on ", hook.interface.c_str(), " into no program array beside ours (",
               kernelReason(answer.result), "): it was loaded as xdp.frags, for one device, or with another expected attach type than ",
               hook.isXdp() ? "BPF_XDP" : "0 (tcx takes it)",
               ", or a program replaces one of its functions. It is left alone, and nothing was changed");
      if (i < members.size() && answer.result == -EINVAL)
        if (auto map = cgroupStorageOf(members[i], scope); !map.empty())
          refuse("program ", members[i].program, " can't be a member of the chain on ", hook.interface.c_str(),
                 ": the kernel takes no program "
                 "that uses a cgroup's storage (map ",
                 map.c_str(),
                 ") into a program array that others are in. It gives XDP and TC programs nothing "
                 "there anyway: use another map",
                 hook.isXdp() ? "" : ", cgrp_storage for one");
      requireOk(answer, "fill the dispatcher's chain");
    }
  }

  // The bank that is left is emptied soon, unless it may be needed again.
  void change(const ChainHook& hook, const DispatcherRow& row, const ChainWish& wish, kj::WaitScope& scope) {
    settle(hook, scope);
    takeBack(hook, row, scope);
    auto place = workers.host(scope);
    uint32_t active = activeBank(*place, row.load, scope), next = active == 0;
    KJ_ON_SCOPE_FAILURE(clean(hook, row.load));  // switched or not, nobody knows: a bank is filled again only after a grace period
    auto running = bankOf(*place, row.load, active, scope);
    Rest rest{{}, kj::max(running.count, bankOf(*place, row.load, next, scope).count)};
    for (auto& member : wish.members) rest.stay.push_back(member.pin());
    fill(hook, row.load, next, wish, running, scope);
    requireOk(update(*place, mapOf(row.load, "active"), 0, next).wait(scope), "switch the dispatcher's chain");
    if (wish.until == 0) clean(hook, row.load, std::move(rest));
  }

  // A chain that was not confirmed, whether its time is over or not: the other bank has the one of before.
  void takeBack(const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
    auto place = workers.host(scope);
    uint32_t active = activeBank(*place, row.load, scope), before = active == 0;
    if (!bankOf(*place, row.load, active, scope).timed) return;
    requireOk(update(*place, mapOf(row.load, "active"), 0, before).wait(scope), "switch the dispatcher's chain back");
    clean(hook, row.load);
    settle(hook, scope);
  }

  struct Rest {                   // what a change left
    std::vector<wire::Pin> stay;  // the programs of the chain that runs
    uint32_t span;                // of both banks, as far as a slot may be in use
  };

  // Takes who left out of the slots that are not in use, when nobody can be in them any more. Survives the worker's death: a slot that was
  // left would keep its program in the kernel.
  void clean(const ChainHook& hook, uint32_t load) { clean(hook, load, Rest{{}, CHAIN_POSITIONS}); }  // nobody knows what is left
  void clean(const ChainHook& hook, uint32_t load, Rest rest) {
    auto key = keyOf(hook);
    cleaning.erase(key);
    auto work = [this, load, rest = std::move(rest)](kj::WaitScope& scope) {
      grace.pass().wait(scope);
      auto failure = kj::runCatchingExceptions([&]() {
        untilAWorkerLives(workers, scope, [&]() {
          auto place = workers.host(scope);
          uint32_t active = activeBank(*place, load, scope);
          auto running = bankOf(*place, load, active, scope);
          if (running.timed) return;  // the other may be needed again
          empty(*place, load, active, running.count, rest, scope);
        });
      });
      KJ_IF_MAYBE (exception, failure) spdlog::warn("emptying a dispatcher's old bank: {}", exception->getDescription().cStr());
    };
    cleaning.emplace(key, fibers.startFiber(kj::mv(work)).fork());
    tasks.add(cleaning.at(key).addBranch());
  }

  // Whoever stays takes a leaver's slot: to delete one the kernel waits for a grace period, each time, and the worker with it.
  void empty(Place& place, uint32_t load, uint32_t active, uint32_t count, const Rest& rest, kj::WaitScope& scope) {
    std::vector<kj::Promise<WorkerReply>> replies;
    for (uint32_t bank : {active, 1 - active}) {
      for (uint32_t i = bank == active ? count : 0; i < rest.span; ++i) {
        bool fill = bank != active && i < rest.stay.size();
        wire::SetSlot slot{mapOf(load, "slots"), fill ? rest.stay[i] : pinAt(wire::Dir::programs), bank * CHAIN_POSITIONS + i, fill};
        replies.push_back(place.worker.call(wire::Op::setSlot, slot));
      }
    }
    for (auto& reply : replies) {
      auto answer = reply.wait(scope);
      if (answer.result != -ENOENT) requireOk(answer, "empty the dispatcher's old bank");
    }
  }

  // A chain without members first: should its filter stay, where nobody can reach it, it has no opinion any more.
  void remove(const ChainHook& hook, const DispatcherRow& row, kj::WaitScope& scope) {
    settle(hook, scope);
    detachDispatcher(workers, broker, hook, row, scope);
    if (row.filterHandle != 0 && catalog.load(row.load) != nullptr) {  // else somebody died when only the row was left
      auto place = workers.host(scope);
      for (uint32_t bank = 0; bank < CHAIN_BANKS; ++bank) {
        auto reply = update(*place, mapOf(row.load, "banks"), bank, chain_bank{}).wait(scope);
        if (reply.result < 0) spdlog::warn("emptying the chain of a {} dispatcher: {}", hook.type, kernelReason(reply.result).cStr());
      }
    }
    loads.undo(row.load, scope);
    cleaning.erase(keyOf(hook));
  }

  uint32_t bankInUse(Place& place, uint32_t load, kj::WaitScope& scope) {  // by packets
    uint32_t active = activeBank(place, load, scope);
    chain_bank chain = bankOf(place, load, active, scope);
    return chain.timed && monotonicClock() >= chain.until ? active == 0 : active;
  }

  uint32_t activeBank(Place& place, uint32_t load, kj::WaitScope& scope) {
    uint32_t active;
    read(place, mapOf(load, "active"), 0, active, scope);
    return active;
  }

  chain_bank bankOf(Place& place, uint32_t load, uint32_t bank, kj::WaitScope& scope) {
    chain_bank chain;
    read(place, mapOf(load, "banks"), bank, chain, scope);
    return chain;
  }

  template <typename Value>
  void read(Place& place, const wire::Pin& map, uint32_t key, Value& value, kj::WaitScope& scope) {
    auto reply = lookUp(place, map, key).wait(scope);
    requireOk(reply, "read which chain the dispatcher uses");
    KJ_REQUIRE(reply.tail.size() == sizeof value, "the dispatcher is another version's");
    memcpy(&value, reply.tail.begin(), sizeof value);
  }

  kj::Promise<WorkerReply> lookUp(Place& place, const wire::Pin& map, uint32_t key) {
    wire::Element element{map, sizeof key, 0, 0, 0};
    return place.worker.call(wire::Op::lookup, element, kj::arrayPtr(reinterpret_cast<kj::byte*>(&key), sizeof key));
  }

  template <typename Value>
  kj::Promise<WorkerReply> update(Place& place, const wire::Pin& map, uint32_t key, const Value& value) {
    kj::byte element[sizeof key + sizeof value];
    memcpy(element, &key, sizeof key);
    memcpy(element + sizeof key, &value, sizeof value);
    return place.worker.call(wire::Op::update, wire::Element{map, sizeof(uint32_t), sizeof value, 0, 0},
                             kj::arrayPtr(element, sizeof element));
  }

  kj::Promise<WorkerReply> setZero(Place& place, const wire::Pin& map, uint32_t key) {  // a word, on each CPU
    auto element = kj::heapArray<kj::byte>(sizeof key + possibleCpus * sizeof(uint64_t));
    memset(element.begin(), 0, element.size());
    memcpy(element.begin(), &key, sizeof key);
    wire::Element wish{map, sizeof key, static_cast<uint32_t>(element.size() - sizeof key), 0, 0};
    return place.worker.call(wire::Op::update, wish, element);
  }

  void taskFailed(kj::Exception&& exception) override { spdlog::warn("tailcall engine: {}", exception.getDescription().cStr()); }
};

}  // namespace

kj::Own<ChainEngine> newTailcallEngine(kj::UnixEventPort& port, Catalog& catalog, Workers& workers, Loads& loads, BrokerChannel& broker,
                                       kj::FiberPool& fibers, bool preferTcx, uint32_t possibleCpus) {
  return kj::heap<TailcallEngine>(port, catalog, workers, loads, broker, fibers, preferTcx, possibleCpus);
}

}  // namespace bpfman
