#include "frontend/memory.h"

#include <set>

#include <kj/debug.h>

#include "frontend/kernel-names.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

constexpr uint64_t PAGE = 4096, PROGRAM_HEADER = 72;  // bytes; of struct bpf_prog before its instructions

uint64_t roundUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

uint64_t memoryOf(const bpf_prog_info& info) { return roundUp(PROGRAM_HEADER + info.xlated_prog_len, PAGE); }

uint64_t memoryOf(const bpf_map_info& info, uint32_t cpus) {
  if (info.type == BPF_MAP_TYPE_ARENA) return info.max_entries * PAGE;
  if (info.key_size == 0 && info.value_size == 0) return info.max_entries;  // a ring buffer
  uint64_t values = kj::StringPtr(mapTypeName(info.type)).startsWith("percpu") ? cpus : 1;
  return uint64_t{info.max_entries} * (roundUp(info.key_size, 8) + roundUp(info.value_size, 8) * values);
}

std::map<uint32_t, MemoryUse> memoryByUser(Core& core, kj::WaitScope& scope, uint32_t without) {
  struct Asked {
    uint32_t uid;
    bool program;
    kj::Promise<WorkerReply> answer;
  };
  std::vector<Asked> asked;
  std::map<uint32_t, MemoryUse> users;
  std::set<uint32_t> seen;  // ids of maps
  auto place = core.workers.host(scope);
  auto ask = [&](uint32_t uid, bool program, const wire::Pin& pin) {
    asked.push_back({uid, program, place->worker.call(wire::Op::inspect, pin)});
  };
  for (auto& [id, load] : core.catalog.loads()) {
    if (load.own || id == without || load.state != LoadRow::loaded || !load.missing.empty()) continue;
    for (auto program : core.catalog.programsOf(id)) ask(load.uid, true, loadedProgram(id, program->index));
    for (const MapRow& map : load.maps)
      if (seen.insert(map.id).second) ask(load.uid, false, loadedMap(id, map.index));
  }
  for (auto& each : asked) {
    auto reply = each.answer.wait(scope);
    if (reply.result < 0) continue;  // unloaded meanwhile
    MemoryUse& use = users[each.uid];
    ++(each.program ? use.programs : use.maps);
    use.bytes += each.program ? memoryOf(infoOf<bpf_prog_info>(reply)) : memoryOf(infoOf<bpf_map_info>(reply), core.possibleCpus);
  }
  return users;
}

void requireWithinMemory(Connection& connection, uint32_t load, TypeSet types, kj::WaitScope& scope, uint32_t without) {
  uint64_t most = connection.rights.maxMemory(types);
  if (most == UINT64_MAX) return;
  uint32_t owner = 0;
  KJ_IF_MAYBE (row, connection.core.catalog.load(load))
    owner = row->uid;
  else
    return;  // unloaded already
  uint64_t used = memoryByUser(connection.core, scope, without)[owner].bytes;
  if (used <= most) return;
  connection.core.loads.undo(load, scope);
  refuse("with this load the programs and maps of user ", owner, " would have ", used,
         " bytes of the kernel's memory, and his roles allow ", most,
         " (max_memory): unload what he does not need, or ask the administrator; 'bpfman memory' shows who has how much");
}

}  // namespace bpfman
