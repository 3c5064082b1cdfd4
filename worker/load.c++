// What a loader asks of its session: libbpf's bpf(2) calls as typed messages. The loader parsed the object and is not trusted, so
// each number that the kernel would take for a descriptor is put in here, from handles, or ends the session.
#include "worker/operations.h"
#include "worker/pins.h"

#include "schema/kernel-numbers.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>

namespace bpfman {

using wire::Kind;
using wire::NO_HANDLE;

namespace {

constexpr uint32_t MAP_FLAGS = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY |
                               BPF_F_STACK_BUILD_ID | BPF_F_ZERO_SEED | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG | BPF_F_CLONE |
                               BPF_F_MMAPABLE | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP | BPF_F_LINK;  // none that names a descriptor
constexpr uint32_t MAX_BTFS = 8, MAX_RECORD = 256;

// The bytes of a request: behind its struct, or in a memfd that nobody can change any more.
std::vector<uint8_t> bytesOf(Request& request, uint64_t size) {
  if (size > wire::MAX_BLOB) die("blob of %llu bytes", static_cast<unsigned long long>(size));
  if (request.descriptorCount == 0) {
    std::span<const uint8_t> tail = request.tail();
    if (tail.size() != size) die("%zu bytes instead of %llu", tail.size(), static_cast<unsigned long long>(size));
    return {tail.begin(), tail.end()};
  }
  int memfd = request.descriptors[0].get();
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  int has = fcntl(memfd, F_GET_SEALS);
  if (has < 0 || (has & seals) != seals) die("blob is not a sealed memfd");
  std::vector<uint8_t> bytes(size);
  if (!request.tail().empty() || pread(memfd, bytes.data(), size, 0) != static_cast<ssize_t>(size)) die("blob is shorter than it says");
  return bytes;
}

template <size_t N>
void requireText(const char (&text)[N]) {
  if (strnlen(text, N) == N) die("text without an end");
}

uint64_t bytesOfMap(const wire::CreateMap& map, uint32_t cpus) {
  if (map.type == BPF_MAP_TYPE_ARENA) return map.maxEntries * uint64_t{4096};  // its entries are pages
  auto round = [](uint64_t size) { return (size + 7) & ~uint64_t{7}; };
  unsigned __int128 value = static_cast<unsigned __int128>(round(map.valueSize)) * (isPerCpu(map.type) ? cpus : 1);
  unsigned __int128 bytes = map.maxEntries * (value + round(map.keySize)) + (map.keySize ? 0 : map.maxEntries);
  return bytes > UINT64_MAX ? UINT64_MAX : static_cast<uint64_t>(bytes);
}

int descriptorOf(LoadSession& load, uint32_t handle, Kind kind) { return load.object(handle, kind).fd.get(); }

int moduleOf(LoadSession& load, uint32_t number) {
  if (number == 0 || number > load.moduleCount) die("module %u is not one of this session's", number);
  return load.modules[number].get();
}

// Walks the instructions as the kernel does. Handles become descriptors; whatever else would name a kernel object is refused.
void bindInstructions(Context& context, bpf_insn* instructions, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    bpf_insn& instruction = instructions[i];
    if (instruction.code == (BPF_JMP | BPF_CALL)) {
      if (instruction.src_reg == 0 && covers(context.ceiling.refusedHelpers, 8, instruction.imm))
        die("instruction %u calls helper %d, which this host refuses", i, instruction.imm);
      if (instruction.src_reg == BPF_PSEUDO_KFUNC_CALL && instruction.off != 0) moduleOf(context.load, instruction.off);
    }
    if (instruction.code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    if (++i == count || instructions[i].code != 0) die("instruction %u is half of a pair", i - 1);
    switch (instruction.src_reg) {
      case 0:
      case BPF_PSEUDO_FUNC: break;
      case BPF_PSEUDO_MAP_FD:
      case BPF_PSEUDO_MAP_VALUE: instruction.imm = descriptorOf(context.load, instruction.imm, Kind::map); break;
      case BPF_PSEUDO_MAP_IDX:
      case BPF_PSEUDO_MAP_IDX_VALUE:
        if (instruction.imm - wire::FIRST_INDEX >= wire::MAX_NAMED) die("instruction %u names map %d", i - 1, instruction.imm);
        break;
      case BPF_PSEUDO_BTF_ID:
        if (instructions[i].imm != 0) instructions[i].imm = moduleOf(context.load, instructions[i].imm);
        break;
      default: die("instruction %u refers to an object in a way that is not permitted (%u)", i - 1, instruction.src_reg);
    }
  }
}

}  // namespace

Answer answerCreateMap(Context& context, Request& request) {
  LoadSession& load = context.load;
  wire::CreateMap wish = request.as<wire::CreateMap>();
  requireText(wish.name);
  uint64_t bytes = bytesOfMap(wish, context.ceiling.possibleCpus);
  if (!covers(&load.grant.mapTypes, 1, wish.type) || (wish.flags & ~MAP_FLAGS))
    die("map of type %u, flags %#x: outside the grant", wish.type, wish.flags);
  if (load.maps == load.grant.maxMaps || bytes > load.grant.maxMapBytes - load.mapBytes) return -EPERM;

  bpf_attr attr{};
  attr.map_type = wish.type, attr.key_size = wish.keySize, attr.value_size = wish.valueSize, attr.max_entries = wish.maxEntries;
  attr.map_flags = wish.flags, attr.numa_node = wish.numaNode, attr.map_extra = wish.extra;
  memcpy(attr.map_name, wish.name, sizeof attr.map_name);
  if (wish.btf != NO_HANDLE) {
    attr.btf_fd = descriptorOf(load, wish.btf, Kind::btf);
    (wish.type == BPF_MAP_TYPE_STRUCT_OPS ? attr.btf_vmlinux_value_type_id : attr.btf_value_type_id) = wish.btfValueType;
    attr.btf_key_type_id = wish.btfKeyType;
  }
  if (wish.innerMap != NO_HANDLE) attr.inner_map_fd = descriptorOf(load, wish.innerMap, Kind::map);
  Fd map(context.bpf.call(BPF_MAP_CREATE, attr));
  if (!map) return map.error();
  ++load.maps;
  load.mapBytes += bytes;
  return load.own({std::move(map), Kind::map, wish.type, wish.keySize, wish.valueSize});
}

Answer answerLoadBtf(Context& context, Request& request) {
  uint32_t size = request.as<wire::LoadBtf>().size;
  std::vector<uint8_t> bytes = bytesOf(request, size);
  if (context.load.btfs++ == MAX_BTFS) die("more than %u BTF objects", MAX_BTFS);
  bpf_attr attr{};
  attr.btf = toKernel(bytes.data());
  attr.btf_size = size;
  return context.load.own({Fd(context.bpf.call(BPF_BTF_LOAD, attr)), Kind::btf});
}

Answer answerLoadProgram(Context& context, Request& request) {
  LoadSession& load = context.load;
  wire::LoadProgram wish = request.as<wire::LoadProgram>();
  requireText(wish.name);
  requireText(wish.license);
  if (wish.funcInfoRecord > MAX_RECORD || wish.lineInfoRecord > MAX_RECORD || wish.coreReloRecord > MAX_RECORD ||
      wish.logSize > wire::MAX_LOG)
    die("malformed program");
  uint32_t slot = 0;
  auto same = [&](const wire::GrantedProgram& granted) {
    return granted.type == wish.type && granted.expectedAttachType == wish.expectedAttachType && granted.attachBtfId == wish.attachBtfId &&
           granted.module == wish.attachModule && granted.flags == wish.flags;
  };
  while (slot < load.grant.programCount && (load.used[slot] || !same(load.grant.programs[slot]))) ++slot;
  if (slot == load.grant.programCount)
    die("program of type %u, attach type %u, target %u, flags %#x: outside the grant", wish.type, wish.expectedAttachType, wish.attachBtfId,
        wish.flags);

  uint64_t sizes[] = {wish.instructionCount * uint64_t{sizeof(bpf_insn)}, uint64_t{wish.funcInfoRecord} * wish.funcInfoCount,
                      uint64_t{wish.lineInfoRecord} * wish.lineInfoCount, uint64_t{wish.coreReloRecord} * wish.coreReloCount};
  std::vector<uint8_t> bytes = bytesOf(request, sizes[0] + sizes[1] + sizes[2] + sizes[3] + wish.signatureSize);
  bindInstructions(context, reinterpret_cast<bpf_insn*>(bytes.data()), wish.instructionCount);

  std::vector<int> named;  // by index
  for (const Fd& module : load.modules) named.push_back(module.get());
  for (uint32_t map : wish.named) named.push_back(map == 0 ? -1 : descriptorOf(load, map - 1, Kind::map));
  Fd target;
  LoadAttr whole{};
  bpf_attr& attr = whole.known;
  if (wish.attachModule) attr.attach_btf_obj_fd = moduleOf(load, wish.attachModule);
  if (const wire::GrantedProgram& granted = load.grant.programs[slot]; granted.target) {
    target = context.bpf.open(pathOf({wire::Dir::loads, granted.target, granted.targetIndex, 0, "p"}).text);
    if (!target) return target.error();
    attr.attach_prog_fd = target.get();
  }
  attr.prog_type = wish.type, attr.expected_attach_type = wish.expectedAttachType, attr.attach_btf_id = wish.attachBtfId;
  attr.prog_flags = wish.flags, attr.kern_version = wish.kernelVersion, attr.license = toKernel(wish.license);
  attr.insns = toKernel(bytes.data()), attr.insn_cnt = wish.instructionCount, attr.fd_array = toKernel(named.data());
  memcpy(attr.prog_name, wish.name, sizeof attr.prog_name);
  if (wish.btf != NO_HANDLE) {
    attr.prog_btf_fd = descriptorOf(load, wish.btf, Kind::btf);
    uint8_t *functions = bytes.data() + sizes[0], *lines = functions + sizes[1], *relocations = lines + sizes[2];
    attr.func_info = toKernel(functions), attr.func_info_rec_size = wish.funcInfoRecord, attr.func_info_cnt = wish.funcInfoCount;
    attr.line_info = toKernel(lines), attr.line_info_rec_size = wish.lineInfoRecord, attr.line_info_cnt = wish.lineInfoCount;
    attr.core_relos = toKernel(relocations), attr.core_relo_rec_size = wish.coreReloRecord, attr.core_relo_cnt = wish.coreReloCount;
  }
  if (wish.signatureSize > 0) {
    whole.later.signature = toKernel(bytes.data() + bytes.size() - wish.signatureSize);
    whole.later.signatureSize = wish.signatureSize, whole.later.keyring = wish.keyring;
  }
  // calloc, as it hands out large zeroed memory without touching it: up to 16 MiB, of which the kernel usually writes none.
  uint32_t logSize = wish.logLevel ? wish.logSize : 0;
  std::unique_ptr<char, decltype(&free)> log(static_cast<char*>(calloc(1, std::max(logSize, 1u))), free);
  if (!log) return -ENOMEM;
  if (logSize > 0) attr.log_level = wish.logLevel, attr.log_size = logSize, attr.log_buf = toKernel(log.get());
  Fd program(context.bpf.call(BPF_PROG_LOAD, attr, sizeof whole));
  load.used[slot] = bool(program);
  Answer answer = load.own({std::move(program), Kind::program});
  ssize_t length = strnlen(log.get(), std::max(logSize, 1u));
  Fd memfd(length > 0 ? memfd_create("log", MFD_CLOEXEC) : -1);
  if (memfd && write(memfd.get(), log.get(), length) == length) answer.descriptor = std::move(memfd);
  return answer;
}

// The first contents of a map of this load: .rodata and the like, the prog arrays and maps of maps that the object fills in, the functions
// of a struct_ops.
Answer answerInitialise(Context& context, Request& request) {
  wire::Initialise wish = request.as<wire::Initialise>();
  Object& map = context.load.object(wish.map, Kind::map);
  if (map.reused) die("a reused map is not the loader's to set");
  uint64_t valueSize = isPerCpu(map.mapType) ? ((map.valueSize + 7ull) & ~7ull) * context.ceiling.possibleCpus : map.valueSize;
  if (wish.keySize != map.keySize || wish.valueSize != valueSize) die("element of %u and %u bytes", wish.keySize, wish.valueSize);
  uint64_t size = uint64_t{wish.keySize} + wish.valueSize;
  std::vector<uint8_t> bytes = bytesOf(request, size + uint64_t{wish.functions} * sizeof(wire::FunctionAt));
  for (uint32_t i = 0; i < wish.functions; ++i) {
    wire::FunctionAt function;
    memcpy(&function, &bytes[size + i * sizeof function], sizeof function);
    uint64_t program = descriptorOf(context.load, function.program, Kind::program);
    if (map.mapType != BPF_MAP_TYPE_STRUCT_OPS || function.offset + uint64_t{8} > valueSize) die("function at %u", function.offset);
    memcpy(&bytes[wish.keySize + function.offset], &program, sizeof program);
  }
  if (holdsDescriptors(map.mapType) && map.mapType != BPF_MAP_TYPE_STRUCT_OPS) {
    bool programs = map.mapType == BPF_MAP_TYPE_PROG_ARRAY;
    bool maps = map.mapType == BPF_MAP_TYPE_ARRAY_OF_MAPS || map.mapType == BPF_MAP_TYPE_HASH_OF_MAPS;
    if (!(programs || maps) || wish.valueSize != sizeof(uint32_t)) die("values of map type %u are descriptors", map.mapType);
    uint32_t value;
    memcpy(&value, bytes.data() + wish.keySize, sizeof value);
    value = descriptorOf(context.load, value, programs ? Kind::program : Kind::map);
    memcpy(bytes.data() + wish.keySize, &value, sizeof value);
  }
  bpf_attr attr{};
  attr.map_fd = map.fd.get(), attr.flags = wish.flags;
  attr.key = toKernel(bytes.data()), attr.value = toKernel(bytes.data() + wish.keySize);
  return context.bpf.call(BPF_MAP_UPDATE_ELEM, attr);
}

Answer answerFreezeMap(Context& context, Request& request) {
  Object& map = context.load.object(request.as<wire::Handle>().handle, Kind::map);
  if (map.reused) die("a reused map is not the loader's to freeze");
  bpf_attr attr{};
  attr.map_fd = map.fd.get();
  return context.bpf.call(BPF_MAP_FREEZE, attr);
}

Answer answerBindMap(Context& context, Request& request) {
  wire::BindMap wish = request.as<wire::BindMap>();
  bpf_attr attr{};
  attr.prog_bind_map.prog_fd = descriptorOf(context.load, wish.program, Kind::program);
  attr.prog_bind_map.map_fd = descriptorOf(context.load, wish.map, Kind::map);
  return context.bpf.call(BPF_PROG_BIND_MAP, attr);
}

}  // namespace bpfman
