// Which maps a load takes from other loads instead of new ones: those of its map owner, whatever they are; then those that its object pins
// by name and that another load of the same user's application has (frontend/named-maps.h).
#pragma once

#include <set>
#include <string>
#include <vector>

#include <kj/function.h>

#include "frontend/load.h"
#include "frontend/named-maps.h"
#include "frontend/worker.h"
#include "schema/loader.capnp.h"

namespace bpfman {

class MapSources {
 public:
  MapSources(const Catalog& catalog, const LoadWish& wish, uint32_t possibleCpus)
      : catalog(catalog), wish(wish), possibleCpus(possibleCpus) {}

  void takeOwners();
  void note(capnp::List<schema::LoadResult::MapLoaded>::Reader object);  // what the object says of its maps

  bool needsTurn() const { return !pinned.empty(); }
  std::string turn() const { return std::to_string(wish.uid) + ":" + wish.application; }
  // Who decides about a name space has it until his load is in the catalogue: two loads at once would both make the map.

  using Look = kj::Function<WorkerReply(const wire::Pin&)>;
  bool takeNamed(Look look);
  // Chooses, in place of what it chose before; whether that was something else. Refuses, before anything is loaded, where the one that is
  // there is another kind of map.

  const std::vector<std::string>& owners() const { return ownerNames; }
  const std::vector<std::string>& shared() const { return sharedNames; }
  const std::vector<wire::MapSource>& all() const { return sources; }  // by handle: the owner's, then the shared ones
  bool isNamed(const std::string& map) const { return named.count(map) > 0; }

 private:
  struct Pinned {
    std::string name;
    MapShape shape;
  };
  const Catalog& catalog;
  const LoadWish& wish;
  uint32_t possibleCpus;
  std::vector<std::string> ownerNames, sharedNames;
  std::vector<wire::MapSource> sources;
  std::vector<uint32_t> ownerIds;  // kernel's, of the owner's maps
  uint32_t ownerLoad = 0;
  std::vector<Pinned> pinned;
  std::set<std::string> named;  // those that are the application's by that name, once this load is there

  void settle(const Pinned& map, Look& look);
  [[noreturn]] void refuseName(const std::string& map, const NamedMap& there, kj::StringPtr why, kj::StringPtr advice) const;
};

}  // namespace bpfman
