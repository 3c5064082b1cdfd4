// Tables of functions that the kernel calls in place of its own (TCP's congestion control and the like): a map that holds them is what
// is attached, all functions at once.
#include <linux/bpf.h>

#include <kj/debug.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

class StructOpsHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope& scope) const override {
    SingleLink made;
    requireClass(wish);
    const MapRow map = chosen(core, wish, scope);
    link.target = kj::str("struct_ops ", map.name.c_str()).cStr();
    made.wanted.kind = wire::LinkKind::structOps;
    made.wanted.attachType = BPF_STRUCT_OPS;
    made.wanted.target = loadedMap(wish.program.load, map.index);
    return made;
  }

  static MapRow chosen(Core& core, const AttachWish& wish, kj::WaitScope& scope) {
    kj::StringPtr name = wish.place.getStructOps();
    kj::Vector<kj::StringPtr> there;
    kj::Maybe<const MapRow&> found;
    const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(wish.program.load));
    auto place = core.workers.host(scope);
    for (const MapRow& map : load.maps) {
      auto reply = place->worker.call(wire::Op::inspect, loadedMap(load.load, map.index)).wait(scope);
      if (reply.result < 0 || infoOf<bpf_map_info>(reply).type != BPF_MAP_TYPE_STRUCT_OPS) continue;
      there.add(map.name.c_str());
      if (name.size() == 0 || name == map.name.c_str()) found = map;
    }
    if (name.size() == 0 && there.size() > 1)
      refuse("program ", wish.program.id, " was loaded with several struct_ops: say which is to be attached: ", kj::strArray(there, ", "));
    KJ_IF_MAYBE (map, found) return *map;
    refuse("program ", wish.program.id, " was loaded with no struct_ops \"", name, "\", but with: ", kj::strArray(there, ", "));
  }
};

const StructOpsHook STRUCT_OPS;

}  // namespace

const Hook& structOpsHook = STRUCT_OPS;

}  // namespace bpfman
