// What is known of the kernel, independently of the worker: which memory a call may name, which maps hold descriptors.
#include "worker/fuzz-oracle.h"

#include <sanitizer/asan_interface.h>

namespace bpfman {

void requireMemory(uint64_t address, uint64_t size) {
  if (size == 0) return;
  FUZZ_REQUIRE(address != 0);
  FUZZ_REQUIRE(!__asan_region_is_poisoned(reinterpret_cast<void*>(address), size), "%llu bytes", static_cast<unsigned long long>(size));
}

void requireNothingElse(const bpf_attr& attr) {
  auto* bytes = reinterpret_cast<const uint8_t*>(&attr);
  for (size_t i = 0; i < sizeof attr; ++i) FUZZ_REQUIRE(bytes[i] == 0, "byte %zu of a call", i);
}

bool isPlainData(uint32_t type) {
  constexpr uint32_t PLAIN[] = {BPF_MAP_TYPE_HASH,
                                BPF_MAP_TYPE_ARRAY,
                                BPF_MAP_TYPE_PERCPU_HASH,
                                BPF_MAP_TYPE_PERCPU_ARRAY,
                                BPF_MAP_TYPE_STACK_TRACE,
                                BPF_MAP_TYPE_LRU_HASH,
                                BPF_MAP_TYPE_LRU_PERCPU_HASH,
                                BPF_MAP_TYPE_LPM_TRIE,
                                BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED,
                                BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED,
                                BPF_MAP_TYPE_QUEUE,
                                BPF_MAP_TYPE_STACK,
                                BPF_MAP_TYPE_RINGBUF,
                                BPF_MAP_TYPE_BLOOM_FILTER,
                                BPF_MAP_TYPE_USER_RINGBUF,
                                BPF_MAP_TYPE_ARENA,
                                BPF_MAP_TYPE_UNSPEC};
  return std::ranges::find(PLAIN, type) != std::end(PLAIN);
}

static bool hasValuePerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED;
}

uint64_t kernelValueSize(uint32_t type, uint32_t valueSize, uint32_t cpus) {
  return hasValuePerCpu(type) ? (uint64_t{valueSize} + 7) / 8 * 8 * cpus : valueSize;
}

}  // namespace bpfman
