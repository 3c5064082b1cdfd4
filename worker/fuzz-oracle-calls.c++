// What each command may say, field by field; bytes of the attribute that no line here accounts for must be zero.
#include "worker/fuzz-oracle.h"

namespace bpfman {

using wire::Kind;
using wire::Op;

namespace {

bool has(const uint64_t* bits, uint32_t words, uint32_t bit) { return bit / 64 < words && (bits[bit / 64] >> (bit % 64)) % 2 == 1; }

std::string textAt(uint64_t address) { return reinterpret_cast<const char*>(address); }

// At least so much: what rounding adds is the worker's affair.
unsigned __int128 leastBytes(uint32_t type, unsigned __int128 key, unsigned __int128 value, uint32_t entries, uint32_t cpus) {
  if (type == BPF_MAP_TYPE_ARENA) return entries * static_cast<unsigned __int128>(4096);
  if (type == BPF_MAP_TYPE_RINGBUF || type == BPF_MAP_TYPE_USER_RINGBUF) return entries;
  return entries * (key + (kernelValueSize(type, 1, 2) == 1 ? value : value * cpus));
}

}  // namespace

void SessionOracle::createMap(bpf_attr attr) {
  FUZZ_REQUIRE(op == Op::createMap);
  auto wish = sent<wire::CreateMap>();
  uint32_t type = takeOut(attr.map_type), key = takeOut(attr.key_size), value = takeOut(attr.value_size),
           entries = takeOut(attr.max_entries);
  FUZZ_REQUIRE(type == wish.type && key == wish.keySize && value == wish.valueSize && entries == wish.maxEntries);
  FUZZ_REQUIRE(has(&grant.mapTypes, 1, type) && has(&ceiling.mapTypes, 1, type), "map type %u", type);
  uint32_t flags = takeOut(attr.map_flags);
  constexpr uint32_t NAMING = BPF_F_PATH_FD | BPF_F_VTYPE_BTF_OBJ_FD | BPF_F_TOKEN_FD;
  FUZZ_REQUIRE(flags == wish.flags && !(flags & NAMING) && flags < 1u << 19, "flags %#x", flags);
  takeOut(attr.numa_node);
  takeOut(attr.map_extra);
  FUZZ_REQUIRE(memchr(attr.map_name, 0, sizeof attr.map_name));
  memset(attr.map_name, 0, sizeof attr.map_name);

  uint32_t types = takeOut(attr.btf_key_type_id) | takeOut(attr.btf_value_type_id);
  if (type == BPF_MAP_TYPE_STRUCT_OPS) types |= takeOut(attr.btf_vmlinux_value_type_id);
  if (uint32_t btf = takeOut(attr.btf_fd); btf != 0 || types != 0) requireOwn(btf, Kind::btf, wish.btf);
  if (uint32_t inner = takeOut(attr.inner_map_fd); inner != 0) requireOwn(inner, Kind::map, wish.innerMap);
  requireNothingElse(attr);

  // Also one that the kernel then refuses must not exceed it.
  unsigned __int128 bytes = leastBytes(type, key, value, entries, ceiling.possibleCpus);
  FUZZ_REQUIRE(maps < grant.maxMaps, "%u maps", maps + 1);
  FUZZ_REQUIRE(mapBytes + bytes <= grant.maxMapBytes, "map memory");
  pendingBytes = bytes;
}

void SessionOracle::loadBtf(bpf_attr attr) const {
  FUZZ_REQUIRE(op == Op::loadBtf && btfs < 8);
  uint32_t size = takeOut(attr.btf_size);
  uint64_t bytes = takeOut(attr.btf);
  requireMemory(bytes, size);
  FUZZ_REQUIRE(size == blob.size() && (size == 0 || memcmp(reinterpret_cast<void*>(bytes), blob.data(), size) == 0));
  requireNothingElse(attr);
}

void SessionOracle::loadProgram(LoadAttr whole) {
  uint64_t signature = takeOut(whole.later.signature);
  uint32_t signatureSize = takeOut(whole.later.signatureSize);
  int32_t keyring = takeOut(whole.later.keyring);
  bpf_attr attr = whole.known;
  FUZZ_REQUIRE(op == Op::loadProgram);
  auto wish = sent<wire::LoadProgram>();
  wire::GrantedProgram program = {
      takeOut(attr.prog_type), takeOut(attr.expected_attach_type), takeOut(attr.attach_btf_id), takeOut(attr.prog_flags), 0, 0,
      wish.attachModule};
  uint32_t named = takeOut(attr.attach_prog_fd);  // or attach_btf_obj_fd, the same field
  FUZZ_REQUIRE(int(named) == (target > 0 ? target : wish.attachModule ? moduleOf(wish.attachModule) : 0), "descriptor %u", named);
  if (target > 0) program.target = targetLoad;
  auto* given = reinterpret_cast<const int*>(takeOut(attr.fd_array));
  requireMemory(toKernel(given), sizeof(int) * (wire::FIRST_INDEX + wire::MAX_NAMED));
  for (uint32_t i = 1; i <= wire::MAX_MODULES; ++i)
    FUZZ_REQUIRE(given[i] == (i <= modules.size() ? modules[i - 1] : -1), "descriptor %d as module %u", given[i], i);
  for (size_t i = 0; i < wire::MAX_NAMED; ++i) {
    int descriptor = given[wire::FIRST_INDEX + i];
    FUZZ_REQUIRE((descriptor == -1) == (wish.named[i] == 0));
    if (descriptor != -1) requireOwn(descriptor, Kind::map, wish.named[i] - 1);
  }
  FUZZ_REQUIRE(has(&ceiling.programTypes, 1, program.type) && has(ceiling.attachTypes, 2, program.expectedAttachType));
  auto granted = std::ranges::find_if(unused, [&](auto& each) { return memcmp(&each, &program, sizeof program) == 0; });
  FUZZ_REQUIRE(granted != unused.end(), "type %u, attach type %u, target %u, flags %#x", program.type, program.expectedAttachType,
               program.attachBtfId, program.flags);
  matched = granted - unused.begin();

  takeOut(attr.kern_version);
  FUZZ_REQUIRE(memchr(attr.prog_name, 0, sizeof attr.prog_name));
  memset(attr.prog_name, 0, sizeof attr.prog_name);
  uint64_t license = takeOut(attr.license), instructions = takeOut(attr.insns), log = takeOut(attr.log_buf);
  requireMemory(license, 1);
  requireMemory(license, textAt(license).size() + 1);
  uint32_t count = takeOut(attr.insn_cnt), logSize = takeOut(attr.log_size), logLevel = takeOut(attr.log_level);
  FUZZ_REQUIRE(count == wish.instructionCount && logSize <= wire::MAX_LOG && (logSize != 0 || logLevel == 0));
  requireMemory(log, logSize);
  requireMemory(instructions, count * uint64_t{sizeof(bpf_insn)});
  requireInstructions(reinterpret_cast<const bpf_insn*>(instructions), count);

  uint64_t after = instructions + count * uint64_t{sizeof(bpf_insn)};
  auto records = [&](auto& at, auto& record, auto& number) {
    uint64_t address = takeOut(at), size = uint64_t{takeOut(record)} * takeOut(number);
    FUZZ_REQUIRE(size == 0 || address == after, "records");
    requireMemory(address, size);
    after += size;
    return size;
  };
  uint64_t described = records(attr.func_info, attr.func_info_rec_size, attr.func_info_cnt);
  described += records(attr.line_info, attr.line_info_rec_size, attr.line_info_cnt);
  described += records(attr.core_relos, attr.core_relo_rec_size, attr.core_relo_cnt);
  FUZZ_REQUIRE(signatureSize == wish.signatureSize && keyring == (signatureSize > 0 ? wish.keyring : 0));
  requireMemory(signature, signatureSize);
  FUZZ_REQUIRE(signature == (signatureSize > 0 ? instructions + blob.size() - signatureSize : 0), "signature");
  if (uint32_t btf = takeOut(attr.prog_btf_fd); btf != 0 || described != 0) requireOwn(btf, Kind::btf, wish.btf);
  requireNothingElse(attr);
}

// As the kernel walks them. What the loader sent differs from what arrives in one thing only: descriptors of this session's maps.
void SessionOracle::requireInstructions(const bpf_insn* bound, uint32_t count) const {
  FUZZ_REQUIRE(blob.size() >= count * sizeof(bpf_insn));
  std::vector<bpf_insn> plain(count);
  if (count > 0) memcpy(plain.data(), blob.data(), count * sizeof(bpf_insn));
  constexpr uint8_t CALL = 0x85, WIDE = 0x18;
  for (uint32_t i = 0; i < count; ++i) {
    bpf_insn expected = plain[i];
    const bpf_insn& there = bound[i];
    if (there.code == CALL) {
      FUZZ_REQUIRE(there.src_reg != 0 || !has(ceiling.refusedHelpers, 8, there.imm), "helper %d", there.imm);
      if (there.src_reg == BPF_PSEUDO_KFUNC_CALL && there.off != 0) moduleOf(there.off);
    }
    bool wide = there.code == WIDE;
    if (wide) {
      FUZZ_REQUIRE(i + 1 < count && bound[i + 1].code == 0);
      uint8_t how = there.src_reg;
      FUZZ_REQUIRE(how <= 6, "source %u", how);
      bool inside = there.imm >= int(wire::FIRST_INDEX) && there.imm < int(wire::FIRST_INDEX + wire::MAX_NAMED);
      FUZZ_REQUIRE(how < 5 || inside, "index %d", there.imm);  // in the array of descriptors
      if (how == BPF_PSEUDO_BTF_ID && plain[i + 1].imm != 0) plain[i + 1].imm = moduleOf(plain[i + 1].imm);
      if (how == BPF_PSEUDO_MAP_FD || how == BPF_PSEUDO_MAP_VALUE) {
        requireOwn(there.imm, Kind::map, expected.imm);
        expected.imm = there.imm;
      }
    }
    FUZZ_REQUIRE(memcmp(&expected, &there, sizeof there) == 0, "instruction %u was changed", i);
    if (wide) {
      ++i;
      FUZZ_REQUIRE(memcmp(&plain[i], &bound[i], sizeof there) == 0, "instruction %u was changed", i);
    }
  }
}

void SessionOracle::update(bpf_attr attr) const {
  FUZZ_REQUIRE(op == Op::initialise);
  auto wish = sent<wire::Initialise>();
  int descriptor = takeOut(attr.map_fd);
  requireOwn(descriptor, Kind::map, wish.map);
  const Made& map = made.at(descriptor);
  FUZZ_REQUIRE(!map.reused, "a map of another load is written");
  uint64_t key = takeOut(attr.key), value = takeOut(attr.value);
  requireMemory(key, map.keySize);
  requireMemory(value, kernelValueSize(map.type, map.valueSize, ceiling.possibleCpus));
  if (!isPlainData(map.type) && map.type != BPF_MAP_TYPE_STRUCT_OPS) {
    bool programs = map.type == BPF_MAP_TYPE_PROG_ARRAY,
         outer = map.type == BPF_MAP_TYPE_ARRAY_OF_MAPS || map.type == BPF_MAP_TYPE_HASH_OF_MAPS;
    FUZZ_REQUIRE(programs || outer, "map type %u", map.type);
    FUZZ_REQUIRE(map.valueSize == sizeof(uint32_t));
    uint32_t stored, handle;
    memcpy(&stored, reinterpret_cast<const void*>(value), sizeof stored);
    memcpy(&handle, blob.data() + map.keySize, sizeof handle);
    requireOwn(stored, programs ? Kind::program : Kind::map, handle);
  }
  std::map<uint32_t, uint32_t> functions;  // those that a later one does not cover
  for (uint32_t i = 0; i < wish.functions; ++i) {
    wire::FunctionAt function;
    memcpy(&function, blob.data() + map.keySize + map.valueSize + i * sizeof function, sizeof function);
    FUZZ_REQUIRE(map.type == BPF_MAP_TYPE_STRUCT_OPS && uint64_t{function.offset} + 8 <= map.valueSize);
    std::erase_if(functions, [&](auto& each) { return each.first + 8 > function.offset && function.offset + 8 > each.first; });
    functions[function.offset] = function.program;
  }
  for (auto [offset, handle] : functions) {
    uint64_t stored;
    memcpy(&stored, reinterpret_cast<const char*>(value) + offset, sizeof stored);
    requireOwn(stored, Kind::program, handle);
  }
  FUZZ_REQUIRE(takeOut(attr.flags) == wish.flags);
  requireNothingElse(attr);
}

void SessionOracle::open(bpf_attr attr) const {
  FUZZ_REQUIRE(op == Op::grant && !granted && calls % 2 == 1);
  auto wish = sent<wire::Grant>();
  uint32_t which = calls / 2;
  FUZZ_REQUIRE(which < wish.reuseCount);
  std::string path = textAt(takeOut(attr.pathname));
  FUZZ_REQUIRE(path == "loads/" + std::to_string(wish.reuse[which].load) + "/m" + std::to_string(wish.reuse[which].index), "%s",
               path.c_str());
  requireNothingElse(attr);
}

// What an extension of the grant extends: some granted program names that load.
long SessionOracle::openTarget(bpf_attr attr) {
  std::string path = textAt(takeOut(attr.pathname));
  auto named =
      std::ranges::find_if(unused, [&](auto& each) { return each.target != 0 && path == "loads/" + std::to_string(each.target) + "/p0"; });
  FUZZ_REQUIRE(named != unused.end(), "%s", path.c_str());
  requireNothingElse(attr);
  targetLoad = named->target;
  bpf_attr plain{};
  if (--failing == 0) return -ENOENT;
  return target = kernel.call(BPF_OBJ_GET, plain, sizeof plain);
}

void SessionOracle::pin(bpf_attr attr) const {
  FUZZ_REQUIRE(op == Op::commit);
  auto wish = sent<wire::Commit>();
  std::string path = textAt(takeOut(attr.pathname));
  uint32_t which = calls - 1;
  bool program = which < wish.programCount;
  FUZZ_REQUIRE(which < uint64_t{wish.programCount} + wish.mapCount);
  uint32_t index = program ? which : which - wish.programCount;
  FUZZ_REQUIRE(path == "staging/" + std::to_string(wish.load) + (program ? "/p" : "/m") + std::to_string(index), "%s", path.c_str());
  requireOwn(takeOut(attr.bpf_fd), program ? Kind::program : Kind::map, wish.handles[which]);
  requireNothingElse(attr);
}

void SessionOracle::info(bpf_attr attr) {
  uint32_t descriptor = takeOut(attr.info.bpf_fd), size = takeOut(attr.info.info_len);
  uint64_t info = takeOut(attr.info.info);
  if (op == Op::addModule) {
    bool held = std::ranges::count(handles, int(descriptor)) + std::ranges::count(modules, int(descriptor)) > 0;
    FUZZ_REQUIRE(size == sizeof(bpf_btf_info) && !held);
    requireMemory(info, size);
    requireNothingElse(attr);
    offered = descriptor;
    return;
  }
  FUZZ_REQUIRE(made.contains(descriptor), "descriptor %u", descriptor);
  if (op == Op::grant) {
    FUZZ_REQUIRE(!fresh.empty() && fresh.back() == int(descriptor) && calls % 2 == 0);
  } else {
    FUZZ_REQUIRE(op == Op::inspectHandle, "operation %u asks", unsigned(op));
    requireOwn(descriptor, made.at(descriptor).kind, sent<wire::Handle>().handle);
  }
  requireMemory(info, size);
  if (made.at(descriptor).kind == Kind::program) {
    auto& program = *reinterpret_cast<const bpf_prog_info*>(info);
    FUZZ_REQUIRE(size == sizeof program && program.jited_prog_len == 0 && program.xlated_prog_len == 0);
    requireMemory(program.map_ids, program.nr_map_ids * uint64_t{4});
  }
  requireNothingElse(attr);
}

// ---- files: a commit's staging directory, and one rename ----

void SessionOracle::requireStaging(const std::string& path) const {
  FUZZ_REQUIRE(op == Op::commit && granted && !committed);
  std::string staging = "staging/" + std::to_string(sent<wire::Commit>().load);
  FUZZ_REQUIRE(path == staging || path.starts_with(staging + "/"), "%s", path.c_str());
}

int SessionOracle::makeDirectory(const char* path) { return requireStaging(path), kernel.makeDirectory(path); }
int SessionOracle::removeDirectory(const char* path) { return requireStaging(path), kernel.removeDirectory(path); }
int SessionOracle::unlink(const char* path) { return requireStaging(path), kernel.unlink(path); }
int SessionOracle::list(const char* path, std::vector<std::string>& names) { return requireStaging(path), kernel.list(path, names); }
int SessionOracle::renameNew(const char* from, const char* to) {
  auto wish = sent<wire::Commit>();
  requireStaging(from);
  FUZZ_REQUIRE(to == "loads/" + std::to_string(wish.load), "%s", to);
  FUZZ_REQUIRE(calls == uint64_t{wish.programCount} + wish.mapCount, "%zu pins", calls);
  return kernel.renameNew(from, to);
}

}  // namespace bpfman
