#include "loader/object.h"

#include <cerrno>
#include <cstring>
#include <set>
#include <sys/mman.h>

#include <bpf/btf.h>
#include <kj/debug.h>

#include "loader/elf.h"
#include "loader/explain.h"
#include "loader/intercept.h"
#include "loader/refusal.h"
#include "loader/struct-ops.h"
#include "loader/typed-value.h"

namespace bpfman {

namespace {

constexpr size_t MAX_VALUE = 64 << 10, MAX_VALUES = 1 << 20;  // bytes of global variables
constexpr uint64_t ARENA_ADDRESS = uint64_t{1} << 44;         // far from where processes have anything, on each 64-bit machine
constexpr char ARENA_GLOBALS[] = ".addr_space.1";

// The verifier's log may have 16 MiB; only the pages that it fills cost anything.
class LogBuffer {
 public:
  LogBuffer() {
    void* mapped = mmap(nullptr, wire::MAX_LOG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) KJ_FAIL_SYSCALL("mmap", errno);
    text = static_cast<char*>(mapped);
  }
  ~LogBuffer() { munmap(text, wire::MAX_LOG); }
  KJ_DISALLOW_COPY(LogBuffer);
  char* text;
};

// Those of variables, those with an element for each object that they are kept with, and those of which there is one for each CPU.
bool hasFixedSize(const bpf_map* map) {
  switch (bpf_map__type(map)) {
    case BPF_MAP_TYPE_CGROUP_STORAGE:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
    case BPF_MAP_TYPE_SK_STORAGE:
    case BPF_MAP_TYPE_INODE_STORAGE:
    case BPF_MAP_TYPE_TASK_STORAGE:
    case BPF_MAP_TYPE_CGRP_STORAGE:
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
    case BPF_MAP_TYPE_STRUCT_OPS: return true;
    default: return bpf_map__is_internal(map);
  }
}

// What libbpf says about an object that it can't read, and what its author can do.
std::string whyUnreadable(const std::string& said, int error) {
  if (said.find("legacy map definitions") != said.npos || said.find("bad map relo") != said.npos)
    return said +
           ": its maps are defined in the old way, which says nothing of their types; define them with BTF, in SEC(\".maps\"), and "
           "compile with -g (in Aya: #[btf_map] in place of #[map])";
  if (said.find("BTF is required") != said.npos) return said + ": compile with clang -g -target bpf, and do not strip .BTF";
  if (said.find("invalid pinning value") != said.npos) return said + ": a map is pinned by name with __uint(pinning, LIBBPF_PIN_BY_NAME)";
  return (said.empty() ? std::string(strerror(error)) : said) + "; is it complete, and compiled with clang -g -target bpf?";
}

// "xdp/cpumap" is of type xdp, but for another place.
std::string implied(const Section& section, uint32_t wantedType) {
  const char* place = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(section.expectedAttachType));
  if (section.type == wantedType && place) return std::string("attach type ") + place;
  return section.family.empty() ? "no type" : printable(section.family, false);
}

std::unique_ptr<bpf_object, void (*)(bpf_object*)> open(std::span<unsigned char> bytes, const Warnings& warnings, const char* name,
                                                        bool otherTypes) {
  requireBpfObject(bytes);
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name, .kconfig = "");
  options.bpf_token_path = "";
  if (otherTypes) options.btf_custom_path = OTHER_TYPES;
  bpf_object* object = bpf_object__open_mem(bytes.data(), bytes.size(), &options);
  if (!object) throw Refusal{"cannot read the object: " + whyUnreadable(warnings.mostUseful(), errno)};
  return {object, bpf_object__close};
}

}  // namespace

// The object's name is the first part of the kernel's names for its data sections.
BpfObject::BpfObject(std::span<unsigned char> bytes, schema::LoadJob::Reader job)
    : job(job),
      object(open(bytes, warnings, job.getPrograms().size() ? job.getPrograms()[0].getName().cStr() : "object", job.getOtherTypes())) {
  choose();
  leavePinning();
  fitMaps();
  resizeMaps();
  this->bytes = bytes;
  setGlobals();
}

void BpfObject::setGlobals() {
  if (job.getGlobals().size() == 0) return;
  Variables variables(object.get(), bytes);
  size_t together = 0;
  for (auto global : job.getGlobals()) {
    std::string name = global.getName().cStr();
    const Variable& variable = variables.find(name);
    size_t size = variable.bytes.size();
    bool typed = global.getJson().size() > 0;
    if (!typed) variables.set(name, {global.getValue().begin(), global.getValue().size()});
    if (typed && variable.type == 0)
      throw Refusal{"global variable \"" + name +
                    "\": the object has no BTF, which would say its type: compile it with clang -g, or give the " + std::to_string(size) +
                    " bytes of the value with -g NAME=HEX"};
    if (size > MAX_VALUE || (together += size) > MAX_VALUES)
      throw Refusal{"global variable \"" + name + "\": values are at most " + std::to_string(MAX_VALUE) + " bytes each, " +
                    std::to_string(MAX_VALUES) + " together"};
    given.push_back({name, variable, std::vector<unsigned char>(size, typed ? 0 : 0xff), {}});
    if (typed) writeJson(bpf_object__btf(object.get()), variable.type, name, global.getJson().cStr(), variable.bytes, given.back().mask);
    given.back().value.assign(variable.bytes.begin(), variable.bytes.end());
  }
}

bpf_program* BpfObject::find(const std::string& name) const {
  bpf_program* program;
  bpf_object__for_each_program(program, object.get()) if (bpf_program__name(program) == name) return program;
  return nullptr;
}

void BpfObject::choose() {
  bpf_program* program;
  std::string available, missing;
  std::set<bpf_program*> optional;
  bpf_object__for_each_program(program, object.get()) {
    if (!bpf_program__autoload(program)) optional.insert(program);
    bpf_program__set_autoload(program, false);
    available += (available.empty() ? "" : " ") + printable(bpf_program__name(program), false);
    if (job.getPrograms().size() == 0 && job.getInspectOnly()) chosen.push_back({program, Section(program), optional.count(program) > 0});
  }
  for (auto wanted : job.getPrograms()) {
    if ((program = find(wanted.getName().cStr())))
      chosen.push_back({program, Section(program), optional.count(program) > 0});
    else
      missing += (missing.empty() ? "" : " ") + std::string(wanted.getName().cStr());
  }
  if (!missing.empty()) throw Refusal{"program(s) not found in object file: [" + missing + "]; available programs: [" + available + "]"};
  for (size_t i = 0; i < job.getPrograms().size(); ++i)
    if (job.getPrograms()[i].getType() != BPF_PROG_TYPE_UNSPEC || !job.getInspectOnly()) setType(chosen[i], job.getPrograms()[i]);
  for (auto& function : functionsOf(object.get()))
    for (auto& choice : chosen)
      if (choice.program == function.program) choice.section.attachTo = function.member;
}

// Sections of these types differ only in where libbpf itself would attach them; one of kprobe.multi can be a plain kprobe.
void BpfObject::setType(Chosen& choice, schema::LoadJob::Wanted::Reader wanted) {
  const Section& section = choice.section;
  bool sameAttach = section.expectedAttachType == wanted.getExpectedAttachType() || section.type == BPF_PROG_TYPE_SCHED_CLS ||
                    section.type == BPF_PROG_TYPE_CGROUP_SKB || section.type == BPF_PROG_TYPE_KPROBE ||
                    (section.type == BPF_PROG_TYPE_SK_SKB && section.expectedAttachType == 0);
  bool extension = wanted.getType() == BPF_PROG_TYPE_EXT &&  // a member of a dispatcher
                   (section.type == BPF_PROG_TYPE_XDP || section.type == BPF_PROG_TYPE_SCHED_CLS);
  if (!extension && (section.type != wanted.getType() || !sameAttach))
    throw Refusal{"program type mismatch: caller specified " + std::string(wanted.getFamily().cStr()) + " but ELF section \"" +
                  printable(section.name, false) + "\" implies " + implied(section, wanted.getType()) +
                  "; recompile the .bpf.o with the matching SEC or pass the matching ProgramType"};
  bpf_program__set_autoload(choice.program, true);
  // It forgets its section, by which libbpf would set the flag of xdp.frags, or look for a function of the kernel, whatever was asked for.
  if (section.type == BPF_PROG_TYPE_XDP || wanted.getTarget() != 0) bpf_program__set_type(choice.program, BPF_PROG_TYPE_UNSPEC);
  bpf_program__set_type(choice.program, static_cast<bpf_prog_type>(wanted.getType()));
  bpf_program__set_expected_attach_type(choice.program, static_cast<bpf_attach_type>(wanted.getExpectedAttachType()));
  bpf_program__set_flags(choice.program, wanted.getFlags());
}

void BpfObject::leavePinning() {
  bpf_map* map;
  bpf_object__for_each_map(map, object.get()) {
    if (!bpf_map__pin_path(map)) continue;
    pinnedByName.push_back(map);
    bpf_map__set_pin_path(map, nullptr);
  }
}

void BpfObject::resizeMaps() {
  for (auto wanted : job.getMapSizes()) {
    std::string name = wanted.getName().cStr(), available;
    const bpf_map* each;
    bpf_object__for_each_map(each, object.get()) if (!hasFixedSize(each)) available +=
        (available.empty() ? "" : " ") + printable(bpf_map__name(each), false);
    auto refuse = [&](const std::string& why) {
      throw Refusal{"the size of map \"" + name + "\" can't be set: " + why + "; maps whose size can be set: [" + available + "]"};
    };
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name.c_str());
    if (!map) refuse("the object has no such map");
    if (hasFixedSize(map)) refuse("it is fixed by what the map is");
    for (auto reused : job.getReuse())
      if (reused == name.c_str()) refuse("it is another program's map, which is used again");
    if (wanted.getEntries() == 0) refuse("a map has at least one entry");
    if (int error = bpf_map__set_max_entries(map, wanted.getEntries()); error < 0) refuse(strerror(-error));
  }
}

// Of ring buffers and event arrays the kernel takes one size only. Objects for other loaders, such as cilium/ebpf, give them types all the
// same, for the code that is generated from those. Arenas are to be at one address in all processes: other loaders map them to find one.
void BpfObject::fitMaps() {
  bpf_map* map;
  bpf_object__for_each_map(map, object.get()) {
    uint32_t type = bpf_map__type(map), size = type == BPF_MAP_TYPE_PERF_EVENT_ARRAY ? sizeof(uint32_t) : 0;
    if (type == BPF_MAP_TYPE_PERF_EVENT_ARRAY || type == BPF_MAP_TYPE_RINGBUF || type == BPF_MAP_TYPE_USER_RINGBUF) {
      bpf_map__set_key_size(map, size);
      bpf_map__set_value_size(map, size);
    }
    if (type == BPF_MAP_TYPE_ARENA && bpf_map__map_extra(map) == 0) bpf_map__set_map_extra(map, ARENA_ADDRESS);
  }
  const btf* types = bpf_object__btf(object.get());
  if (types && btf__find_by_name_kind(types, ARENA_GLOBALS, BTF_KIND_DATASEC) >= 0)
    throw Refusal{std::string("the object has global variables in its arena (section ") + ARENA_GLOBALS +
                  "), which are set by mapping it, and the daemon maps none: let a program or the user of the arena set them"};
}

// Handle i is the i-th name of the job. Names that this object does not have are another program's.
void BpfObject::reuseMaps(Proxy& proxy) {
  uint32_t handle = 0;
  for (auto name : job.getReuse()) reuseMap(proxy, name.cStr(), handle++, "of the map owner", ": use another owner");
  for (auto name : job.getShared()) reuseMap(proxy, name.cStr(), handle++, "that is pinned by name", "");
}

void BpfObject::reuseMap(Proxy& proxy, const std::string& name, uint32_t handle, const char* whose, const char* advice) {
  bpf_map* map = bpf_object__find_map_by_name(object.get(), name.c_str());
  if (!map) return;
  auto text = "map \"" + name + "\" " + whose;
  int placeholder =
      placeholders.make({Placeholder::Kind::map, handle, bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map), true});
  KJ_REQUIRE(placeholder >= 0, "memfd", strerror(errno));
  kj::AutoCloseFd owned(placeholder);
  bpf_map_info info{};
  unsigned size = sizeof info;
  bpf_attr attr{};
  attr.info = {static_cast<unsigned>(placeholder), size, reinterpret_cast<uint64_t>(&info)};
  bool known = proxy.call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) >= 0;
  if (!known || info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map))
    throw Refusal{text + " has another type, key or value size than this object's" + advice};
  if (int error = bpf_map__reuse_fd(map, placeholder); error < 0) throw Refusal{text + " cannot be used: " + strerror(-error), -error};
}

void BpfObject::aimPrograms() {
  for (size_t i = 0; i < chosen.size(); ++i) {
    auto target = job.getPrograms()[i].getAttachTo();
    bool byName =
        bpf_program__type(chosen[i].program) == BPF_PROG_TYPE_TRACING || bpf_program__type(chosen[i].program) == BPF_PROG_TYPE_LSM;
    if (target.size() == 0 || !byName || job.getPrograms()[i].getTarget() != 0) continue;
    if (int error = bpf_program__set_attach_target(chosen[i].program, 0, target.cStr()); error < 0)
      throw Refusal{"the kernel has nothing called \"" + std::string(target.cStr()) + "\" that program \"" +
                        bpf_program__name(chosen[i].program) + "\" could be attached to: " + warnings.mostUseful(),
                    -error};
  }
}

void BpfObject::load(Session& session, const Files& files, AskForModules ask) {
  Probes probes(object.get(), job.getKernelRelease().cStr());
  auto wantedOf = [&](const bpf_insn* instructions) {
    for (size_t i = 0; i < chosen.size(); ++i)
      if (auto wanted = job.getPrograms()[i]; bpf_program__insns(chosen[i].program) == instructions)
        return Proxy::Wanted{wanted.getTarget(),
                             wanted.getTargetModule(),
                             wanted.getKeyring(),
                             {wanted.getSignature().begin(), wanted.getSignature().size()}};
    return Proxy::Wanted();
  };
  Modules modules([&]() { return ask(kernelNamesOf(bpf_object__btf(object.get()), bytes)); });
  Proxy proxy(session, placeholders, probes, modules, wantedOf);
  if (job.getToSign()) proxy.keepInstructions();
  Interception interception(proxy, files);
  reuseMaps(proxy);
  aimPrograms();
  LogBuffer log;
  std::vector<bpf_program*> programs;
  for (auto& choice : chosen) programs.push_back(choice.program);
  chooseStructOps(object.get(), programs);
  proxy.placeFunctions([&](uint32_t valueType) {
    std::vector<uint32_t> offsets;
    for (auto wanted : job.getPrograms())
      if (wanted.getFunction().getValueType() == valueType) offsets.push_back(wanted.getFunction().getOffset());
    return offsets;
  });
  proxy.keepLogs(MAX_VERIFIER_LOG / std::max<size_t>(chosen.size(), 1));
  for (Chosen& choice : chosen) {
    bpf_program__set_log_buf(choice.program, log.text, wire::MAX_LOG);
    bpf_program__set_log_level(choice.program, job.getLogLevel());
  }
  int error = bpf_object__load(object.get());
  if (error == 0) error = fillStructOps(object.get());
  for (Chosen& choice : chosen) bpf_program__set_log_buf(choice.program, nullptr, 0);
  license = printable(proxy.license(), false);
  logs = proxy.logs();
  toSign = proxy.instructions();
  if (error < 0) throw explain(proxy, warnings, -error, log.text);
}

}  // namespace bpfman
