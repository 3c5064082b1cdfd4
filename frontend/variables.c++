#include "frontend/variables.h"

#include <linux/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>

#include <kj/debug.h>

#include "frontend/inspection.h"
#include "frontend/limits.h"
#include "frontend/loader-job.h"
#include "frontend/refuse.h"
#include "frontend/servers.h"
#include "frontend/store-masked.h"

namespace bpfman {

namespace {

constexpr uint32_t NAMED_IN_AUDIT = 16;

bool holdsVariables(kj::StringPtr map) { return map.startsWith(".data") || map.startsWith(".bss") || map.startsWith(".rodata"); }

// The only element of a map, as the program has it before it, for as long as this lives. The kernel maps no descriptor that is for reading
// only, so that it is the mapping which is.
class Section {
 public:
  // most: bytes; a larger one is as if it could not be mapped.
  Section(Core& core, const LoadRow& load, const MapRow& map, bool writable, uint32_t most, kj::WaitScope& scope) : name(map.name.c_str()) {
    auto place = core.workers.host(scope);
    auto pin = loadedMap(load.load, map.index);
    auto seen = place->worker.call(wire::Op::inspect, pin).wait(scope);
    requireOk(seen, "look at the map of the variables");
    auto info = infoOf<bpf_map_info>(seen);
    mappable = info.type == BPF_MAP_TYPE_ARRAY && info.max_entries == 1 && info.map_flags & BPF_F_MMAPABLE && info.value_size <= most;
    if (!mappable) return;
    auto reply = place->worker.call(wire::Op::openObject, wire::OpenObject{pin, 0, 0}).wait(scope);
    requireOk(reply, "open the map of the variables");
    size = info.value_size;
    void* mapped = mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, KJ_REQUIRE_NONNULL(reply.descriptor), 0);
    if (mapped == MAP_FAILED) refuse("map the variables in section ", name, ": ", strerror(errno));
    first = static_cast<kj::byte*>(mapped);
  }
  ~Section() {
    if (first != nullptr) munmap(first, size);
  }
  KJ_DISALLOW_COPY(Section);

  kj::byte* at(uint64_t offset, uint64_t bytes) const {
    if (!mappable)
      refuse("the variables in section ", name, " can't be set while the program runs: their map can't be mapped, as the kernel says");
    KJ_REQUIRE(offset <= size && size - offset >= bytes, "the program's bytecode is not the one that was loaded");
    return first + offset;
  }
  kj::ArrayPtr<const kj::byte> bytes() const { return kj::arrayPtr(first, size); }

 private:
  kj::StringPtr name;
  kj::byte* first = nullptr;
  size_t size = 0;
  bool mappable;
};

struct Loaded {
  const ProgramRow program;
  const LoadRow load;

  const MapRow& mapNamed(kj::StringPtr section) const {
    for (auto& map : load.maps)
      if (map.internal && section == map.name.c_str()) return map;
    refuse("program ", program.id, " has no map for section ", section);
  }
};

Loaded loadedOf(Core& core, uint32_t id) {
  KJ_IF_MAYBE (program, core.catalog.program(id)) {
    const LoadRow& load = KJ_ASSERT_NONNULL(core.catalog.load(program->load));
    if (!load.missing.empty()) refuse("program ", id, " is not loaded: ", load.missing.c_str());
    return {*program, load};
  }
  refuseNoProgram(core, id);
}

}  // namespace

void setVariables(Core& core, uint32_t program, capnp::List<schema::Global>::Reader wanted, AuditLine& line, kj::WaitScope& scope) {
  Loaded loaded = loadedOf(core, program);
  LoadWish limited;  // the limits, and that none is named twice
  takeGlobals(limited, wanted);
  if (wanted.size() == 0) refuse("name at least one variable to set");
  for (uint32_t i = 0; i < wanted.size() && i < NAMED_IN_AUDIT; ++i)
    line.what += (i == 0 ? "" : " ") + std::string(wanted[i].getName().cStr());
  if (wanted.size() > NAMED_IN_AUDIT) line.what += kj::str(" and ", wanted.size() - NAMED_IN_AUDIT, " more").cStr();
  Inspection inspection(core, loaded.program.id, scope);
  auto list = inspection.job.initGlobals(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    list[i].setName(wanted[i].getName());
    list[i].setValue(wanted[i].getValue());
    list[i].setJson(wanted[i].getJson());
  }
  auto found = inspection.ask().getVariables();
  KJ_REQUIRE(found.size() == wanted.size(), "malformed answer from the loader");

  std::map<std::string, kj::Own<Section>> sections;
  struct Store {
    kj::byte* at;
    capnp::Data::Reader value, mask;
  };
  std::vector<Store> stores;
  for (auto variable : found) {
    auto section = variable.getSection();
    if (section.startsWith(".rodata"))
      refuse("variable ", variable.getName(), " is a constant (in ", section,
             "), which the kernel froze when the program was loaded: set it with 'program load --set', or 'program update --set'");
    auto& map = loaded.mapNamed(section);
    auto& mapped = sections[section.cStr()];
    if (mapped.get() == nullptr) mapped = kj::heap<Section>(core, loaded.load, map, true, kj::maxValue, scope);
    auto value = variable.getValue(), mask = variable.getMask();  // once: each time counts against the message's limit
    KJ_REQUIRE(mask.size() == value.size(), "malformed answer from the loader");
    stores.push_back({mapped->at(variable.getOffset(), value.size()), value, mask});
    if (std::find(line.maps.begin(), line.maps.end(), map.id) == line.maps.end()) line.maps.push_back(map.id);
  }
  for (auto& store : stores) storeMasked(store.at, store.value, store.mask);
}

void listVariables(Core& core, uint32_t program, schema::Program::VariablesResults::Builder results, kj::WaitScope& scope) {
  Loaded loaded = loadedOf(core, program);
  Inspection inspection(core, loaded.program.id, scope);
  inspection.job.setListVariables(true);
  struct Content {
    kj::StringPtr section;
    kj::Array<kj::byte> bytes;
  };
  kj::Vector<Content> contents;
  uint32_t room = limits::GLOBALS_BYTES;
  for (auto& map : loaded.load.maps) {
    if (!map.internal || !holdsVariables(map.name.c_str())) continue;
    Section section(core, loaded.load, map, false, room, scope);
    room -= section.bytes().size();
    contents.add(Content{map.name.c_str(), kj::heapArray(section.bytes())});
  }
  auto list = inspection.job.initContents(contents.size());
  for (size_t i = 0; i < contents.size(); ++i) {
    list[i].setSection(contents[i].section);
    list[i].setBytes(contents[i].bytes);
  }
  auto found = inspection.ask().getVariables();
  auto out = results.initVariables(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    out[i].setName(found[i].getName());
    out[i].setSection(found[i].getSection());
    out[i].setType(found[i].getType());
    out[i].setSize(found[i].getSize());
    out[i].setValue(found[i].getJson());
  }
}

}  // namespace bpfman
