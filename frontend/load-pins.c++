// What a load has in our bpffs and beside it: made public, undone, removed.
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include <kj/debug.h>

#include "frontend/kept-bytecode.h"
#include "frontend/load.h"
#include "frontend/refuse.h"

namespace bpfman {

void requirePublished(std::vector<kj::Promise<WorkerReply>>& pins, kj::WaitScope& scope) {
  for (auto& pin : pins) {
    auto answer = pin.wait(scope);
    if (answer.result != -EEXIST) requireOk(answer, "make the public pins of a load");
  }
}

void Loads::publish(uint32_t load, kj::WaitScope& scope) {
  auto place = workers.host(scope);
  auto pins = publishing(load, *place);
  requirePublished(pins, scope);
}

std::vector<kj::Promise<WorkerReply>> Loads::publishing(uint32_t load, Place& place) {
  const LoadRow& row = KJ_ASSERT_NONNULL(catalog.load(load));
  std::vector<kj::Promise<WorkerReply>> replies;
  for (auto program : catalog.programsOf(load)) {
    replies.push_back(
        place.worker.call(wire::Op::publish, wire::Publish{loadedProgram(load, program->index), pinAt(wire::Dir::programs, program->id)}));
    for (const MapRow& map : row.maps) {
      if (map.internal || !isPinName(map.name.c_str())) continue;
      wire::Publish wish{loadedMap(load, map.index), pinAt(wire::Dir::maps, program->id, 0, 0, map.name.c_str())};
      replies.push_back(place.worker.call(wire::Op::publish, wish));
    }
  }
  return replies;
}

void Loads::undo(uint32_t load, kj::WaitScope& scope) {
  KJ_IF_MAYBE (known, catalog.load(load))
    if (known->state == LoadRow::loading && !known->missing.empty()) {
      LoadRow row = *known;
      auto place = workers.host(scope);
      requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{load, 0}).wait(scope), "remove a load's pins");
      row.state = LoadRow::loaded;
      return catalog.put(row);
    }
  std::vector<uint32_t> ids;
  for (auto program : catalog.programsOf(load)) ids.push_back(program->id);
  for (uint32_t id : ids) removeProgram(id, scope);
  if (!ids.empty()) return;  // the load went with its last program
  auto place = workers.host(scope);
  requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{load, 0}).wait(scope), "remove a load's pins");
  erase(load);
}

void Loads::erase(uint32_t load) {
  catalog.eraseLoad(load);
  KeptBytecode::remove(load);
}

void Loads::removeProgram(uint32_t id, kj::WaitScope& scope) {
  const ProgramRow program = KJ_ASSERT_NONNULL(catalog.program(id));
  auto place = workers.host(scope);
  std::vector<kj::Promise<WorkerReply>> replies;
  auto remove = [&](const wire::Pin& pin) { replies.push_back(place->worker.call(wire::Op::remove, pin)); };
  remove(pinAt(wire::Dir::programs, id));
  KJ_IF_MAYBE (load, catalog.load(program.load))
    for (const MapRow& map : load->maps)
      if (!map.internal && isPinName(map.name.c_str())) remove(pinAt(wire::Dir::maps, id, 0, 0, map.name.c_str()));
  remove(loadedProgram(program.load, program.index));
  for (auto& reply : replies) requireOk(reply.wait(scope), "remove a program's pins");
  unlinkat(programsDir, kj::str(id, "/bytecode.o").cStr(), 0);
  unlinkat(programsDir, kj::str(id).cStr(), AT_REMOVEDIR);
  if (catalog.programsOf(program.load).size() > 1) return catalog.eraseProgram(id);
  // As long as anything is left of it, it is listed: whoever unloads it once more removes the rest.
  requireOk(place->worker.call(wire::Op::removeLoad, wire::RemoveLoad{program.load, 0}).wait(scope), "remove a load's pins");
  erase(program.load);
}

}  // namespace bpfman
