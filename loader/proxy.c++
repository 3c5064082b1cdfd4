#include "loader/proxy.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "loader/explain.h"

namespace bpfman {

using wire::NO_HANDLE;
using wire::Op;
using Kind = Placeholder::Kind;

namespace {

long refuse(int error) {
  errno = error;
  return -1;
}

template <typename T>
T* pointer(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

Bytes bytesAt(uint64_t address, size_t size) { return {pointer<const unsigned char>(address), size}; }

uint64_t estimate(const bpf_attr& attr) {
  auto rounded = [](uint64_t size) { return (size + 7) & ~uint64_t{7}; };
  if (attr.key_size == 0 && attr.value_size == 0) return attr.max_entries;  // ring buffers
  return (rounded(attr.key_size) + rounded(attr.value_size)) * attr.max_entries;
}

void copyLog(const SessionAnswer& answer, const bpf_attr& attr) {
  char* log = pointer<char>(attr.log_buf);
  if (!log || attr.log_size == 0) return;
  log[0] = 0;
  KJ_IF_MAYBE (memfd, answer.descriptor) {
    ssize_t size = pread(*memfd, log, attr.log_size - 1, 0);
    log[std::max<ssize_t>(size, 0)] = 0;
  }
}

}  // namespace

// libbpf passes as many bytes of the attribute as it knows; the rest counts as zero.
long Proxy::call(int command, bpf_attr* given, unsigned size) {
  bpf_attr attr{};
  memcpy(&attr, given, std::min<size_t>(size, sizeof attr));
  switch (command) {
    case BPF_MAP_CREATE: return createMap(attr);
    case BPF_BTF_LOAD: return loadBtf(attr);
    case BPF_PROG_LOAD: return loadProgram(attr);
    case BPF_MAP_UPDATE_ELEM: return initialise(attr);
    case BPF_MAP_FREEZE: return freezeMap(attr);
    case BPF_PROG_BIND_MAP: return bindMap(attr);
    case BPF_OBJ_GET_INFO_BY_FD: return objectInfo(attr, *given);
    // Only probed: this is the answer of a kernel that knows the kind of link. But a struct_ops map is first given its contents.
    case BPF_LINK_CREATE: return attr.link_create.attach_type == BPF_STRUCT_OPS ? placeholders.makeProbe() : refuse(EBADF);
    case BPF_BTF_GET_NEXT_ID: return nextModule(attr, *given);
    case BPF_BTF_GET_FD_BY_ID: return openModule(attr);
    case BPF_OBJ_GET:  // no pins here
    case BPF_TOKEN_CREATE: return refuse(ENOENT);
    default: return refuse(EPERM);
  }
}

// libbpf tries some things again in another way: what worked then has not failed.
long Proxy::perform(Op op, const char* name, SessionAnswer& answer) {
  if (answer.result >= 0) {
    if (failure.op == op) failure = {};
    return answer.result;
  }
  failure = {op, name, static_cast<int>(-answer.result)};
  return refuse(failure.error);
}

long Proxy::createMap(const bpf_attr& attr) {
  if (probes.isMap(attr)) return placeholders.makeProbe();
  wire::CreateMap wish{attr.map_type,        attr.key_size,          attr.value_size, attr.max_entries, attr.map_flags, attr.numa_node,
                       attr.btf_key_type_id, attr.btf_value_type_id, attr.map_extra,  NO_HANDLE,        NO_HANDLE,      {}};
  memcpy(wish.name, attr.map_name, sizeof wish.name);
  wish.name[sizeof wish.name - 1] = 0;
  if (attr.btf_vmlinux_value_type_id) wish.btfValueType = attr.btf_vmlinux_value_type_id;
  if (attr.btf_fd) {
    const Placeholder* types = placeholders.find(attr.btf_fd);
    if (!types) return refuse(EBADF);
    wish.btf = types->handle;
  }
  if (attr.inner_map_fd) {
    const Placeholder* inner = placeholders.find(attr.inner_map_fd);
    if (!inner) return refuse(EBADF);
    wish.innerMap = inner->handle;
  }
  SessionAnswer answer = session.call(Op::createMap, bytesOf(wish), {});
  long handle = perform(Op::createMap, wish.name, answer);
  if (handle >= 0)
    return placeholders.make(
        {Kind::map, static_cast<uint32_t>(handle), attr.map_type, attr.key_size, attr.value_size, false, attr.btf_vmlinux_value_type_id});
  failure.mapType = attr.map_type;
  failure.mapBytes = estimate(attr);
  return handle;
}

long Proxy::loadBtf(const bpf_attr& attr) {
  if (probes.isBtf(attr)) return placeholders.makeProbe();
  wire::LoadBtf wish{attr.btf_size, 0};
  SessionAnswer answer = session.call(Op::loadBtf, bytesOf(wish), {bytesAt(attr.btf, attr.btf_size)});
  long handle = perform(Op::loadBtf, "", answer);
  return handle < 0 ? handle : placeholders.make({Kind::btf, static_cast<uint32_t>(handle)});
}

long Proxy::loadProgram(const bpf_attr& attr) {
  if (probes.isProgram(attr)) return probes.programLoads(attr) ? placeholders.makeProbe() : refuse(EINVAL);
  if (attr.attach_prog_fd) return refuse(EOPNOTSUPP);  // of another program, or of a module, the job says which

  auto* given = pointer<const bpf_insn>(attr.insns);
  Wanted wanted = wantedOf(given);
  bool byIndex = keepsInstructions || !wanted.signature.empty();
  std::vector<uint32_t> named;  // handles, in the order in which the program uses them first: the same wherever its maps come from
  std::vector<bpf_insn> instructions(given, given + attr.insn_cnt);
  for (size_t i = 0; i + 1 < instructions.size(); ++i) {
    bpf_insn& instruction = instructions[i];
    if (instruction.code == (BPF_JMP | BPF_CALL) && instruction.src_reg == BPF_PSEUDO_KFUNC_CALL && instruction.off != 0) {
      instruction.off = attr.fd_array ? moduleOf(pointer<const int>(attr.fd_array)[instruction.off]) : 0;
      if (instruction.off == 0) return refuse(EBADF);
    }
    if (instruction.code != (BPF_LD | BPF_IMM | BPF_DW)) continue;
    ++i;  // its second half
    if (instruction.src_reg == BPF_PSEUDO_BTF_ID && instructions[i].imm != 0) {
      instructions[i].imm = static_cast<int>(moduleOf(instructions[i].imm));
      if (instructions[i].imm == 0) return refuse(EBADF);
    }
    if (instruction.src_reg != BPF_PSEUDO_MAP_FD && instruction.src_reg != BPF_PSEUDO_MAP_VALUE) continue;
    const Placeholder* map = placeholders.find(instruction.imm);
    if (!map || map->kind != Kind::map) return refuse(EBADF);
    instruction.imm = static_cast<int>(map->handle);
    if (!byIndex) continue;
    instruction.src_reg = instruction.src_reg == BPF_PSEUDO_MAP_FD ? BPF_PSEUDO_MAP_IDX : BPF_PSEUDO_MAP_IDX_VALUE;
    auto place = std::ranges::find(named, map->handle);
    if (place == named.end()) place = named.insert(place, map->handle);
    instruction.imm = static_cast<int>(wire::FIRST_INDEX + (place - named.begin()));
  }

  wire::LoadProgram wish{attr.prog_type,
                         attr.expected_attach_type,
                         wanted.function ? wanted.function : attr.attach_btf_id,
                         attr.prog_flags,
                         attr.kern_version,
                         NO_HANDLE,
                         attr.log_level,
                         std::min<uint32_t>(attr.log_size, wire::MAX_LOG),
                         attr.insn_cnt,
                         attr.func_info_rec_size,
                         attr.func_info_cnt,
                         attr.line_info_rec_size,
                         attr.line_info_cnt,
                         attr.core_relo_rec_size,
                         attr.core_relo_cnt,
                         wanted.module,
                         static_cast<uint32_t>(wanted.signature.size()),
                         wanted.keyring,
                         {},
                         {},
                         {}};
  if (wish.logLevel == 0) wish.logSize = 0;
  if (named.size() > wire::MAX_NAMED) return refuse(E2BIG);
  std::ranges::transform(named, wish.named, [](uint32_t handle) { return handle + 1; });
  memcpy(wish.name, attr.prog_name, sizeof wish.name - 1);
  if (attr.license) strncpy(wish.license, pointer<const char>(attr.license), sizeof wish.license - 1);
  licenseGiven = wish.license;
  if (attr.prog_btf_fd) {
    const Placeholder* types = placeholders.find(attr.prog_btf_fd);
    if (!types) return refuse(EBADF);
    wish.btf = types->handle;
  }
  SessionAnswer answer =
      session.call(Op::loadProgram, bytesOf(wish),
                   {{reinterpret_cast<const unsigned char*>(instructions.data()), instructions.size() * sizeof(bpf_insn)},
                    bytesAt(attr.func_info, size_t{attr.func_info_rec_size} * attr.func_info_cnt),
                    bytesAt(attr.line_info, size_t{attr.line_info_rec_size} * attr.line_info_cnt),
                    bytesAt(attr.core_relos, size_t{attr.core_relo_rec_size} * attr.core_relo_cnt),
                    wanted.signature});
  copyLog(answer, attr);
  long handle = perform(Op::loadProgram, wish.name, answer);
  if (handle >= 0 && bytesOfLog > 0 && wish.logLevel > 0 && attr.log_buf)
    kept[handle] = printable(cutInTheMiddle(pointer<const char>(attr.log_buf), bytesOfLog), true);
  if (handle >= 0 && keepsInstructions) covered[handle] = std::move(instructions);
  if (handle < 0) failure.ofSigned = !wanted.signature.empty();
  return handle < 0 ? handle : placeholders.make({Kind::program, static_cast<uint32_t>(handle)});
}

// Values of a prog array or a map of maps are descriptors.
long Proxy::initialise(const bpf_attr& attr) {
  const Placeholder* map = placeholders.find(attr.map_fd);
  if (!map) return refuse(EBADF);
  if (map->kind == Kind::probe || map->reused) return 0;
  // libbpf's keys here are ints. A map of another key size must not make us send what lies behind them.
  if (map->keySize != sizeof(int)) return refuse(EINVAL);
  uint32_t type = map->mapType, handle;
  Bytes key = bytesAt(attr.key, map->keySize), value = bytesAt(attr.value, map->valueSize);
  if (type == BPF_MAP_TYPE_PROG_ARRAY || type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS) {
    if (map->valueSize != sizeof handle) return refuse(EINVAL);
    const Placeholder* object = placeholders.find(*pointer<const int>(attr.value));
    if (!object) return refuse(EBADF);
    handle = object->handle;
    value = bytesOf(handle);
  }
  std::vector<wire::FunctionAt> functions;
  if (map->structOpsValue)
    for (uint32_t offset : functionsIn(map->structOpsValue)) {
      uint64_t fd = 0;
      if (offset + sizeof fd <= value.size()) memcpy(&fd, value.data() + offset, sizeof fd);
      if (const Placeholder* program = fd ? placeholders.find(static_cast<int>(fd)) : nullptr)
        functions.push_back({offset, program->handle});
    }
  wire::Initialise wish{map->handle, map->keySize, map->valueSize, static_cast<uint32_t>(attr.flags),
                        static_cast<uint32_t>(functions.size())};
  Bytes places{reinterpret_cast<const unsigned char*>(functions.data()), functions.size() * sizeof functions[0]};
  SessionAnswer answer = session.call(Op::initialise, bytesOf(wish), {key, value, places});
  return perform(Op::initialise, "", answer);
}

long Proxy::freezeMap(const bpf_attr& attr) {
  const Placeholder* map = placeholders.find(attr.map_fd);
  if (!map) return refuse(EBADF);
  if (map->kind == Kind::probe || map->reused) return 0;
  wire::Handle wish{map->handle};
  SessionAnswer answer = session.call(Op::freezeMap, bytesOf(wish), {});
  return perform(Op::freezeMap, "", answer);
}

long Proxy::bindMap(const bpf_attr& attr) {
  const Placeholder* program = placeholders.find(attr.prog_bind_map.prog_fd);
  const Placeholder* map = placeholders.find(attr.prog_bind_map.map_fd);
  if (!program || !map) return refuse(EBADF);
  if (program->kind == Kind::probe || map->kind == Kind::probe) return 0;
  wire::BindMap wish{program->handle, map->handle};
  SessionAnswer answer = session.call(Op::bindMap, bytesOf(wish), {});
  return perform(Op::bindMap, "", answer);
}

long Proxy::objectInfo(const bpf_attr& attr, bpf_attr& given) {
  const Placeholder* object = placeholders.find(attr.info.bpf_fd);
  if (!object) return refuse(EBADF);
  if (object->kind == Kind::probe) return 0;
  if (object->kind == Kind::module) return moduleInfo(object->handle, attr, given);
  wire::Handle wish{object->handle};
  SessionAnswer answer = session.call(Op::inspectHandle, bytesOf(wish), {});
  if (long result = perform(Op::inspectHandle, "", answer); result < 0) return result;
  wire::ObjectInfo info;
  if (answer.tail.size() < sizeof info) return refuse(EPROTO);
  memcpy(&info, answer.tail.data(), sizeof info);
  if (answer.tail.size() - sizeof info < info.infoSize) return refuse(EPROTO);
  uint32_t size = std::min(attr.info.info_len, info.infoSize);
  memcpy(pointer<void>(attr.info.info), answer.tail.data() + sizeof info, size);
  given.info.info_len = size;
  return 0;
}

// ---- modules of the kernel ----

long Proxy::nextModule(const bpf_attr& attr, bpf_attr& given) {
  given.next_id = modules.after(attr.start_id);
  return given.next_id ? 0 : refuse(ENOENT);
}

long Proxy::openModule(const bpf_attr& attr) {
  return modules.has(attr.btf_id) ? placeholders.make({Kind::module, attr.btf_id}) : refuse(ENOENT);
}

long Proxy::moduleInfo(uint32_t number, const bpf_attr& attr, bpf_attr& given) {
  bpf_btf_info info{};
  uint32_t size = std::min<uint32_t>(attr.info.info_len, sizeof info);
  memcpy(&info, pointer<const void>(attr.info.info), size);
  if (long error = modules.describe(number, info); error < 0) return refuse(-error);
  memcpy(pointer<void>(attr.info.info), &info, size);
  given.info.info_len = size;
  return 0;
}

uint32_t Proxy::moduleOf(int fd) const {
  const Placeholder* module = placeholders.find(fd);
  return module && module->kind == Kind::module ? module->handle : 0;
}

}  // namespace bpfman
