#include "frontend/named-maps.h"

#include <linux/bpf.h>

#include <algorithm>

#include <kj/debug.h>
#include <kj/vector.h>

#include "frontend/kernel-names.h"

namespace bpfman {

namespace {

bool isHere(const LoadRow& load) { return load.state == LoadRow::loaded && load.missing.empty(); }

// As the kernel rounds the size of a map that has a list of its elements for each processor.
uint32_t rounded(uint32_t entries, uint32_t cpus) {
  uint64_t up = (uint64_t{entries} + cpus - 1) / cpus * cpus;
  return up > UINT32_MAX ? entries / cpus * cpus : up;
}

uint32_t entriesOf(const MapShape& wanted, uint32_t cpus) {
  if (wanted.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY && wanted.maxEntries == 0) return cpus;
  bool lru = wanted.type == BPF_MAP_TYPE_LRU_HASH || wanted.type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  return lru && wanted.flags & BPF_F_NO_COMMON_LRU ? rounded(wanted.maxEntries, cpus) : wanted.maxEntries;
}

uint32_t flagsOf(const MapShape& shape) {
  bool devices = shape.type == BPF_MAP_TYPE_DEVMAP || shape.type == BPF_MAP_TYPE_DEVMAP_HASH;
  return devices ? shape.flags & ~BPF_F_RDONLY_PROG : shape.flags;  // the kernel sets it
}

}  // namespace

MapShape shapeOf(const bpf_map_info& info) {
  return {info.type, info.key_size, info.value_size, info.max_entries, info.map_flags, info.map_extra};
}

std::string differenceOf(const MapShape& wanted, const MapShape& there, uint32_t possibleCpus) {
  kj::Vector<kj::String> found;
  if (there.type != wanted.type) found.add(kj::str("type ", mapTypeName(there.type), ", not ", mapTypeName(wanted.type)));
  auto compare = [&](kj::StringPtr what, auto has, auto wants) {
    if (has != wants) found.add(kj::str(what, ' ', has, ", not ", wants));
  };
  compare("key_size", there.keySize, wanted.keySize);
  compare("value_size", there.valueSize, wanted.valueSize);
  compare("max_entries", there.maxEntries, there.type == wanted.type ? entriesOf(wanted, possibleCpus) : wanted.maxEntries);
  uint32_t has = flagsOf(there), wants = flagsOf(wanted);
  if (has != wants) found.add(kj::str("map_flags 0x", kj::hex(has), ", not 0x", kj::hex(wants)));
  compare("map_extra", there.extra, wanted.extra);
  return kj::strArray(found, "; ").cStr();
}

bool inNameSpace(const Catalog& catalog, uint32_t number, uint32_t uid, const std::string& application) {
  KJ_IF_MAYBE (load, catalog.load(number)) {
    auto programs = catalog.programsOf(number);
    return !load->own && load->uid == uid && !application.empty() && !programs.empty() && programs[0]->application == application;
  }
  return false;
}

std::vector<NamedMap> mapsNamed(const Catalog& catalog, uint32_t uid, const std::string& application, const std::string& name) {
  std::vector<NamedMap> found;
  for (auto& [number, load] : catalog.loads()) {
    if (!isHere(load) || !inNameSpace(catalog, number, uid, application)) continue;
    for (auto& map : load.maps)
      if (map.named && map.name == name) found.push_back({number, map.index, map.id});
  }
  return found;
}

std::vector<uint32_t> sharersOf(const Catalog& catalog, const LoadRow& load, const MapRow& map) {
  std::vector<uint32_t> ids;
  for (auto& [number, other] : catalog.loads()) {
    if (number == load.load || !isHere(other) || !std::ranges::count(other.maps, map.id, &MapRow::id)) continue;
    for (auto program : catalog.programsOf(number)) ids.push_back(program->id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace bpfman
