// Maps that objects pin by name (LIBBPF_PIN_BY_NAME). libbpf has one directory for all of them; here each user's application has a name
// space of its own, which is what the catalogue says of its loads: a map is there as long as one of them has it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "frontend/catalog.h"

struct bpf_map_info;

namespace bpfman {

struct MapShape {  // what must be the same for two objects to share a map
  uint32_t type = 0, keySize = 0, valueSize = 0, maxEntries = 0, flags = 0;
  uint64_t extra = 0;
};

MapShape shapeOf(const bpf_map_info& info);

std::string differenceOf(const MapShape& wanted, const MapShape& there, uint32_t possibleCpus);
// In what a map that is there is another than an object wants: "max_entries 8, not 16"; "": in nothing. Numbers that the kernel makes of
// others (of devmaps' flags, of sizes that go by the number of processors) are no difference.

struct NamedMap {
  uint32_t load = 0, index = 0;  // loads/LOAD/mINDEX, one of its pins
  uint32_t id = 0;               // kernel
};

std::vector<NamedMap> mapsNamed(const Catalog& catalog, uint32_t uid, const std::string& application, const std::string& name);
// All pins of the one map of that name; the oldest load's first. Without an application there is no name space.

bool inNameSpace(const Catalog& catalog, uint32_t load, uint32_t uid, const std::string& application);

std::vector<uint32_t> sharersOf(const Catalog& catalog, const LoadRow& load, const MapRow& map);
// Programs of other loads that have this map too, however they came by it; ascending.

}  // namespace bpfman
