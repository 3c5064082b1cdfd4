#include "loader/object.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

#include <bpf/btf.h>
#include <kj/debug.h>

#include "loader/elf.h"
#include "loader/explain.h"
#include "loader/globals.h"
#include "loader/intercept.h"
#include "loader/refusal.h"

namespace bpfman {

namespace {

constexpr uint64_t ARENA_ADDRESS = uint64_t{1} << 44;  // far from where processes have anything, on each 64-bit machine
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

// What libbpf says about an object that it can't read, and what its author can do.
std::string whyUnreadable(const std::string& said, int error) {
  if (said.find("legacy map definitions") != said.npos || said.find("bad map relo") != said.npos)
    return said +
           ": its maps are defined in the old way, which says nothing of their types; define them with BTF, in SEC(\".maps\"), and "
           "compile with -g (in Aya: #[btf_map] in place of #[map])";
  if (said.find("BTF is required") != said.npos) return said + ": compile with clang -g -target bpf, and do not strip .BTF";
  return (said.empty() ? std::string(strerror(error)) : said) + "; is it complete, and compiled with clang -g -target bpf?";
}

// "xdp/cpumap" is of type xdp, but for another place.
std::string implied(const Section& section, uint32_t wantedType) {
  const char* place = libbpf_bpf_attach_type_str(static_cast<bpf_attach_type>(section.expectedAttachType));
  if (section.type == wantedType && place) return std::string("attach type ") + place;
  return section.family.empty() ? "no type" : printable(section.family, false);
}

std::unique_ptr<bpf_object, void (*)(bpf_object*)> open(std::span<unsigned char> bytes, const Warnings& warnings, const char* name) {
  requireBpfObject(bytes);
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name, .kconfig = "");
  options.bpf_token_path = "";
  bpf_object* object = bpf_object__open_mem(bytes.data(), bytes.size(), &options);
  if (!object) throw Refusal{"cannot read the object: " + whyUnreadable(warnings.mostUseful(), errno)};
  return {object, bpf_object__close};
}

}  // namespace

// The object's name is the first part of the kernel's names for its data sections.
BpfObject::BpfObject(std::span<unsigned char> bytes, schema::LoadJob::Reader job)
    : job(job), object(open(bytes, warnings, job.getPrograms().size() ? job.getPrograms()[0].getName().cStr() : "object")) {
  choose();
  leavePinning();
  fitMaps();
  for (auto global : job.getGlobals()) {
    auto value = global.getValue();
    setGlobal(object.get(), global.getName().cStr(), {value.begin(), value.size()});
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
  bpf_object__for_each_program(program, object.get()) {
    bpf_program__set_autoload(program, false);
    available += (available.empty() ? "" : " ") + printable(bpf_program__name(program), false);
    if (job.getPrograms().size() == 0 && job.getInspectOnly()) chosen.push_back({program, Section(program)});
  }
  for (auto wanted : job.getPrograms()) {
    if ((program = find(wanted.getName().cStr())))
      chosen.push_back({program, Section(program)});
    else
      missing += (missing.empty() ? "" : " ") + std::string(wanted.getName().cStr());
  }
  if (!missing.empty()) throw Refusal{"program(s) not found in object file: [" + missing + "]; available programs: [" + available + "]"};
  for (size_t i = 0; i < job.getPrograms().size(); ++i) setType(chosen[i], job.getPrograms()[i]);
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
  for (auto name : job.getReuse()) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name.cStr());
    uint32_t number = handle++;
    if (!map) continue;
    int placeholder =
        placeholders.make({Placeholder::Kind::map, number, bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map), true});
    KJ_REQUIRE(placeholder >= 0, "memfd", strerror(errno));
    kj::AutoCloseFd owned(placeholder);
    bpf_map_info info{};
    unsigned size = sizeof info;
    bpf_attr attr{};
    attr.info = {static_cast<unsigned>(placeholder), size, reinterpret_cast<uint64_t>(&info)};
    bool known = proxy.call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) >= 0;
    if (!known || info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map))
      throw Refusal{"map \"" + std::string(name.cStr()) +
                    "\" of the map owner has another type, key or value size than this object's: use another owner"};
    if (int error = bpf_map__reuse_fd(map, placeholder); error < 0)
      throw Refusal{"map \"" + std::string(name.cStr()) + "\" of the map owner cannot be used: " + strerror(-error), -error};
  }
}

void BpfObject::aimPrograms() {
  for (size_t i = 0; i < chosen.size(); ++i) {
    auto target = job.getPrograms()[i].getAttachTo();
    bool byName =
        bpf_program__type(chosen[i].program) == BPF_PROG_TYPE_TRACING || bpf_program__type(chosen[i].program) == BPF_PROG_TYPE_LSM;
    if (target.size() == 0 || !byName) continue;
    if (int error = bpf_program__set_attach_target(chosen[i].program, 0, target.cStr()); error < 0)
      throw Refusal{"the kernel has nothing called \"" + std::string(target.cStr()) + "\" that program \"" +
                        bpf_program__name(chosen[i].program) + "\" could be attached to: " + warnings.mostUseful(),
                    -error};
  }
}

void BpfObject::load(Session& session, const Files& files) {
  Probes probes(object.get(), job.getKernelRelease().cStr());
  Proxy proxy(session, placeholders, probes, job.getExtended());
  Interception interception(proxy, files);
  reuseMaps(proxy);
  aimPrograms();
  LogBuffer log;
  for (Chosen& choice : chosen) bpf_program__set_log_buf(choice.program, log.text, wire::MAX_LOG);
  int error = bpf_object__load(object.get());
  for (Chosen& choice : chosen) bpf_program__set_log_buf(choice.program, nullptr, 0);
  license = printable(proxy.license(), false);
  if (error < 0) throw explain(proxy, warnings, -error, log.text);
}

}  // namespace bpfman
