#include "examples/sidecar/counters.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kj/debug.h>
#include <kj/encoding.h>
#include <kj/vector.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace bpfman {

namespace {

constexpr uint32_t ENTRIES_PER_ANSWER = 1024;

// The kernel writes a per-CPU value once for each CPU that could ever be there, not only for those that run.
uint32_t possibleCpus() {
  FILE* file = fopen("/sys/devices/system/cpu/possible", "re");
  KJ_REQUIRE(file != nullptr, "/sys/devices/system/cpu/possible");
  KJ_DEFER(fclose(file));
  unsigned first, last, count = 0;
  for (int read; (read = fscanf(file, "%u-%u%*[,]", &first, &last)) > 0;) count += read == 2 ? last - first + 1 : 1;
  return count;
}

uint32_t roundUp(uint32_t size) { return (size + 7) / 8 * 8; }

std::vector<uint64_t> summed(kj::ArrayPtr<const kj::byte> value, const Shape& shape) {
  size_t stride = shape.perCpu ? roundUp(shape.valueSize) : value.size();
  std::vector<uint64_t> words(roundUp(shape.valueSize) / 8);
  for (size_t cpu = 0; cpu + stride <= value.size(); cpu += stride) {
    for (size_t word = 0; word < words.size(); ++word) {
      uint64_t part = 0;
      memcpy(&part, value.begin() + cpu + 8 * word, std::min<size_t>(8, shape.valueSize - 8 * word));
      words[word] += part;
    }
  }
  return words;
}

std::string named(kj::ArrayPtr<const kj::byte> key) { return kj::encodeHex(key).cStr(); }

kj::Promise<Counters> readOn(schema::Map::Client map, Shape shape, kj::Array<kj::byte> after, Counters counters) {
  auto request = map.readRequest();
  request.setAfter(after);
  request.setLimit(ENTRIES_PER_ANSWER);
  auto answer = request.send();
  return answer.then([map = kj::mv(map), shape, counters = kj::mv(counters)](auto&& page) mutable -> kj::Promise<Counters> {
    auto entries = page.getEntries();
    for (auto entry : entries) counters[named(entry.getKey())] = summed(entry.getValue(), shape);
    if (!page.getMore() || entries.size() == 0) return kj::mv(counters);
    return readOn(kj::mv(map), shape, kj::heapArray<kj::byte>(entries[entries.size() - 1].getKey()), kj::mv(counters));
  });
}

}  // namespace

Shape Shape::of(schema::KernelMap::Reader map) {
  uint32_t type = map.getType();
  bool perCpu = type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  return {map.getKeySize(), map.getValueSize(), perCpu};
}

size_t Shape::bytes() const { return perCpu ? size_t(roundUp(valueSize)) * possibleCpus() : valueSize; }

kj::Promise<Counters> readOverRpc(schema::Map::Client map, Shape shape) { return readOn(kj::mv(map), shape, nullptr, Counters()); }

Counters readByDescriptor(int map, Shape shape) {
  Counters counters;
  auto key = kj::heapArray<kj::byte>(shape.keySize), value = kj::heapArray<kj::byte>(shape.bytes());
  bpf_attr attr = {};
  attr.map_fd = map;
  attr.next_key = reinterpret_cast<uintptr_t>(key.begin());  // the key itself is 0 at first: from the start
  while (syscall(SYS_bpf, BPF_MAP_GET_NEXT_KEY, &attr, sizeof attr) == 0) {
    bpf_attr lookup = {};
    lookup.map_fd = map;
    lookup.key = reinterpret_cast<uintptr_t>(key.begin());
    lookup.value = reinterpret_cast<uintptr_t>(value.begin());
    long result = syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &lookup, sizeof lookup);
    KJ_REQUIRE(result == 0 || errno == ENOENT, "BPF_MAP_LOOKUP_ELEM", strerror(errno));
    if (result == 0) counters[named(key)] = summed(value, shape);
    attr.key = reinterpret_cast<uintptr_t>(key.begin());
  }
  KJ_REQUIRE(errno == ENOENT, "BPF_MAP_GET_NEXT_KEY", strerror(errno));
  return counters;
}

Counters readByIterator(int iterator, Shape shape) {
  kj::Vector<kj::byte> bytes;
  kj::byte buffer[4096];
  ssize_t got;
  while ((got = read(iterator, buffer, sizeof buffer)) > 0) bytes.addAll(buffer, buffer + got);
  KJ_REQUIRE(got == 0, "reading the iterator", strerror(errno));
  Counters counters;
  size_t element = shape.keySize + shape.bytes();
  for (size_t at = 0; at + element <= bytes.size(); at += element)
    counters[named(bytes.asPtr().slice(at, at + shape.keySize))] = summed(bytes.asPtr().slice(at + shape.keySize, at + element), shape);
  return counters;
}

}  // namespace bpfman
