// Elements of maps: for clients that read over the RPC, and for the dispatchers' own maps.
#include "worker/operations.h"
#include "worker/pins.h"

#include <cerrno>

namespace bpfman {

using wire::Kind;

namespace {

struct OpenedMap {
  Fd fd;
  uint32_t type = 0, keySize = 0, valueSize = 0;  // valueSize: as the system call sees it, all CPUs of a per-CPU map
};

OpenedMap openMap(Context& context, const wire::Pin& pin) {
  if (kindOf(pin) != Kind::map) die("not a map");
  OpenedMap map{context.bpf.open(pathOf(pin).text)};
  if (!map.fd) return map;
  bpf_map_info info{};
  if (int error = context.bpf.info(map.fd, &info, sizeof info); error) return {Fd(error)};
  map.type = info.type, map.keySize = info.key_size;
  map.valueSize = isPerCpu(info.type) ? ((info.value_size + 7) & ~7u) * context.ceiling.possibleCpus : info.value_size;
  return map;
}

long element(Context& context, int command, const OpenedMap& map, const void* key, const void* value, uint64_t flags) {
  bpf_attr attr{};
  attr.map_fd = map.fd.get(), attr.flags = flags;
  attr.key = toKernel(key), attr.value = toKernel(value);  // next_key, for that command
  return context.bpf.call(command, attr);
}

// One element, by the sizes that the kernel says: -EINVAL when the frontend's differ.
Answer withElement(Context& context, Request& request, int command) {
  auto wish = request.as<wire::Element>();
  std::span<const uint8_t> tail = request.tail();
  bool update = command == BPF_MAP_UPDATE_ELEM;
  if (tail.size() != uint64_t{wish.keySize} + (update ? wish.valueSize : 0)) die("element of %zu bytes", tail.size());
  OpenedMap map = openMap(context, wish.pin);
  if (!map.fd) return map.fd.error();
  if (update && holdsDescriptors(map.type)) die("values of map type %u are descriptors", map.type);
  if (wish.keySize != map.keySize || (update && wish.valueSize != map.valueSize) || map.valueSize > wire::MAX_MESSAGE / 2) return -EINVAL;

  std::vector<uint8_t> key(tail.begin(), tail.begin() + wish.keySize), value(map.valueSize);
  if (update) value.assign(tail.begin() + wish.keySize, tail.end());
  Answer answer = element(context, command, map, key.data(), value.data(), wish.flags);
  if (command == BPF_MAP_LOOKUP_ELEM && answer.result == 0) answer.add(value.data(), value.size());
  return answer;
}

}  // namespace

Answer answerLookup(Context& context, Request& request) { return withElement(context, request, BPF_MAP_LOOKUP_ELEM); }
Answer answerUpdate(Context& context, Request& request) { return withElement(context, request, BPF_MAP_UPDATE_ELEM); }

// As many elements as fit in one answer; an element that goes away meanwhile is left out.
Answer answerReadMap(Context& context, Request& request) {
  auto wish = request.as<wire::ReadMap>();
  if (request.tail().size() != (wish.hasStart ? wish.keySize : 0)) die("start key of %zu bytes", request.tail().size());
  OpenedMap map = openMap(context, wish.pin);
  if (!map.fd) return map.fd.error();
  size_t entry = map.keySize + map.valueSize, room = wire::MAX_MESSAGE / 2;
  if (map.keySize == 0 || wish.keySize != map.keySize || entry > room) return -EINVAL;

  std::vector<uint8_t> key(request.tail().begin(), request.tail().end()), next(map.keySize), value(map.valueSize);
  Answer answer(0);
  while (answer.tail.size() + entry <= room) {
    long result = element(context, BPF_MAP_GET_NEXT_KEY, map, key.empty() ? nullptr : key.data(), next.data(), 0);
    if (result == -ENOENT) return answer;
    if (result < 0) return result;
    key = next;
    result = element(context, BPF_MAP_LOOKUP_ELEM, map, key.data(), value.data(), 0);
    if (result == -ENOENT) continue;
    if (result < 0) return result;
    answer.add(key.data(), key.size()).add(value.data(), value.size());
    ++answer.result;
  }
  return answer;
}

// The one way by which a program gets into a prog array after its load.
Answer answerSetSlot(Context& context, Request& request) {
  auto wish = request.as<wire::SetSlot>();
  OpenedMap array = openMap(context, wish.array);
  if (!array.fd) return array.fd.error();
  if (array.type != BPF_MAP_TYPE_PROG_ARRAY) die("a slot of map type %u", array.type);
  if (!wish.present) return element(context, BPF_MAP_DELETE_ELEM, array, &wish.index, nullptr, 0);
  Fd program = openProgram(context.bpf, wish.program);
  if (!program) return program.error();
  uint32_t value = program.get();
  return element(context, BPF_MAP_UPDATE_ELEM, array, &wish.index, &value, 0);
}

}  // namespace bpfman
