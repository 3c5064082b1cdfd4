// Three ways to the counters of a map, none of which needs a privilege: asking bpfmand for its elements, reading an iterator over them, and
// asking the kernel through the map's own descriptor. bpfmand handed over the iterator and the descriptor.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/client.h"

namespace bpfman {

// By the map's key, as hexadecimal bytes: the value's 8-byte words, each summed over the CPUs.
using Counters = std::map<std::string, std::vector<uint64_t>>;

// What is needed to make sense of a value's bytes.
struct Shape {
  uint32_t keySize, valueSize;
  bool perCpu;

  static Shape of(schema::KernelMap::Reader map);
  size_t bytes() const;  // of one element's value as the kernel writes it
};

// Over the RPC, in as many answers as it takes.
kj::Promise<Counters> readOverRpc(schema::Map::Client map, Shape shape);

// With bpf(2) on a descriptor. It works with kernel.unprivileged_bpf_disabled too: that is about making programs and maps, not about
// looking into a map that one was given.
Counters readByDescriptor(int map, Shape shape);

// From an iterator over its elements, which bpfmand opened: raw keys and values one behind the other, to its end.
Counters readByIterator(int iterator, Shape shape);

}  // namespace bpfman
