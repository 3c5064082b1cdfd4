#include "frontend/map-sources.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

#include <kj/debug.h>

#include "frontend/refuse.h"

namespace bpfman {

void MapSources::takeOwners() {
  if (wish.mapOwner == 0) return;
  auto missing = [&]() { refuse("map_owner_id ", wish.mapOwner, " does not exist: map owner not found"); };
  KJ_IF_MAYBE (owner, catalog.program(wish.mapOwner)) {
    KJ_IF_MAYBE (load, catalog.load(owner->load)) {
      if (!load->missing.empty()) refuse("program ", wish.mapOwner, ", whose maps it uses, is not loaded: ", load->missing.c_str());
      if (wish.persistent && !load->persistent)
        refuse("program ", wish.mapOwner, ", whose maps it would use, is not persistent: after a reboot there would be no such maps");
      ownerLoad = load->load;
      for (const MapRow& map : load->maps) {
        if (map.internal) continue;
        ownerNames.push_back(map.name);
        ownerIds.push_back(map.id);
        sources.push_back({load->load, map.index});
      }
      return;
    }
  }
  missing();
}

void MapSources::note(capnp::List<schema::LoadResult::MapLoaded>::Reader object) {
  if (wish.application.empty()) return;
  for (auto map : object) {
    if (!map.getPinByName()) continue;
    MapShape shape{map.getType(), map.getKeySize(), map.getValueSize(), map.getMaxEntries(), map.getFlags(), map.getExtra()};
    pinned.push_back({map.getName().cStr(), shape});
  }
}

bool MapSources::takeNamed(Look look) {
  std::vector<wire::MapSource> before = sources;
  sources.resize(ownerNames.size());
  sharedNames.clear();
  named.clear();
  for (auto& map : pinned) settle(map, look);
  if (sources.size() > wire::MAX_MAPS) refuse("at most ", wire::MAX_MAPS, " maps of other programs are used again in one load");
  auto same = [](auto& a, auto& b) { return a.load == b.load && a.index == b.index; };
  return !std::equal(before.begin(), before.end(), sources.begin(), sources.end(), same);
}

// An owner that was named goes before a name. Its map becomes the application's where it is of the same application, and there is none yet.
void MapSources::settle(const Pinned& map, Look& look) {
  auto owner = std::find(ownerNames.begin(), ownerNames.end(), map.name);
  for (auto& there : mapsNamed(catalog, wish.uid, wish.application, map.name)) {
    WorkerReply reply = look(loadedMap(there.load, there.index));
    if (reply.result == -ENOENT) continue;  // being unloaded
    requireOk(reply, "look at a map that is pinned by name");
    if (owner != ownerNames.end()) {
      if (ownerIds[owner - ownerNames.begin()] != there.id)
        refuseName(map.name, there, kj::str("program ", wish.mapOwner, ", whose maps are to be used, has another"),
                   "use the maps of a program that shares it, or unload those that do");
      named.insert(map.name);
      return;
    }
    std::string difference = differenceOf(map.shape, shapeOf(infoOf<bpf_map_info>(reply)), possibleCpus);
    if (!difference.empty())
      refuseName(
          map.name, there, kj::str("it has ", difference.c_str(), " as this object's"),
          "define both alike (--map-size sets max_entries), load this one for another application (-a), or unload those that share it");
    if (wish.requireSharing) wish.requireSharing();
    named.insert(map.name);
    sharedNames.push_back(map.name);
    sources.push_back({there.load, there.index});
    return;
  }
  if (owner == ownerNames.end() || inNameSpace(catalog, ownerLoad, wish.uid, wish.application)) named.insert(map.name);
}

void MapSources::refuseName(const std::string& map, const NamedMap& there, kj::StringPtr why, kj::StringPtr advice) const {
  kj::String where = kj::str("load ", there.load);
  for (auto program : catalog.programsOf(there.load)) {
    where = kj::str("program ", program->id, " (", program->name.c_str(), ')');
    break;
  }
  refuse("map \"", map.c_str(), "\" is pinned by name, and application \"", wish.application.c_str(), "\" has one already, map ", there.id,
         " of ", where, ": ", why, "; ", advice);
}

}  // namespace bpfman
