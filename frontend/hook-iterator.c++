// Iterators: the kernel runs the program over all its tasks, sockets, programs … when a client reads the descriptor that it asks for.
#include <linux/bpf.h>

#include "frontend/hook-single.h"
#include "frontend/refuse.h"

namespace bpfman {

namespace {

// The kernel takes a map's descriptor for something else where an iterator is over none.
bool isOverMap(const std::string& iterator) {
  return iterator == "bpf_map_elem" || iterator == "bpf_sk_storage_map" || iterator == "sockmap";
}

class IteratorHook final : public SingleHook {
  SingleLink describe(Core& core, AttachWish& wish, LinkRow& link, kj::WaitScope&) const override {
    SingleLink made;
    requireClass(wish);
    uint32_t map = wish.place.getIterator();
    if ((map != 0) != isOverMap(wish.program.attachTo))
      refuse("an iterator over ", wish.program.attachTo.c_str(), map ? " takes no map" : " needs the map (--map ID)");
    if (map == 0)
      link.target = wish.program.attachTo;
    else
      made.wanted.target = mapTarget(core, wish, map, MapRight::write, link);  // the program may change the elements
    made.wanted.kind = wire::LinkKind::iterator;
    made.wanted.attachType = BPF_TRACE_ITER;
    return made;
  }
};

const IteratorHook ITERATOR;

}  // namespace

const Hook& iteratorHook = ITERATOR;

}  // namespace bpfman
