// What an object has, and under which handles it was loaded.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <kj/debug.h>

#include <bpf/btf.h>

#include "loader/btf-walk.h"
#include "loader/object.h"
#include "loader/refusal.h"
#include "loader/run-config.h"
#include "loader/typed-value.h"

namespace bpfman {

namespace {

constexpr size_t MAX_LISTED = 4096, MAX_JSON = 256 << 10;  // variables, and bytes of their values
constexpr size_t MAX_TO_SIGN = 640 << 10;                  // bytes, of all programs: an answer has at most 1 MiB

uint32_t countTailCalls(const bpf_program* program) {
  const bpf_insn* first = bpf_program__insns(program);
  return std::count_if(first, first + bpf_program__insn_cnt(program), [](const bpf_insn& instruction) {
    return instruction.code == (BPF_JMP | BPF_CALL) && instruction.src_reg == 0 && instruction.imm == BPF_FUNC_tail_call;
  });
}

// libbpf calls .rodata "OBJECT.rodata"; sections with a name of their own (.data.x) it leaves alone.
std::string elfName(const bpf_map* map) {
  std::string name = bpf_map__name(map);
  size_t dot = name.find('.');
  return bpf_map__is_internal(map) && dot != name.npos ? name.substr(dot) : name;
}

uint64_t bytesOf(const bpf_map* map) {
  auto rounded = [](uint64_t size) { return (size + 7) & ~uint64_t{7}; };
  uint64_t element = rounded(bpf_map__key_size(map)) + rounded(bpf_map__value_size(map));
  return std::max<uint64_t>(element, 1) * bpf_map__max_entries(map);
}

}  // namespace

uint32_t BpfObject::handleOf(int fd) const {
  const Placeholder* object = placeholders.find(fd);
  return object ? object->handle : wire::NO_HANDLE;
}

void BpfObject::describe(schema::LoadResult::Done::Builder result) const {
  auto programs = result.initPrograms(chosen.size());
  size_t roomToSign = MAX_TO_SIGN;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto& [program, section, optional] = chosen[i];
    programs[i].setName(printable(bpf_program__name(program), false).c_str());
    programs[i].setSection(printable(section.name, false).c_str());
    programs[i].setHandle(job.getInspectOnly() ? wire::NO_HANDLE : handleOf(bpf_program__fd(program)));
    programs[i].setTailCalls(countTailCalls(program));
    programs[i].setType(section.type);
    programs[i].setExpectedAttachType(section.expectedAttachType);
    programs[i].setFlags(section.flags);
    programs[i].setAttachTo(printable(section.attachTo, false).c_str());
    programs[i].setFamily(section.family.c_str());
    programs[i].setOptional(optional);
    if (auto log = logs.find(programs[i].getHandle()); log != logs.end()) programs[i].setVerifierLog(log->second.c_str());
    if (auto found = toSign.find(programs[i].getHandle()); found != toSign.end()) {
      auto bytes = kj::arrayPtr(found->second.data(), found->second.size()).asBytes();
      if (bytes.size() > roomToSign)
        throw Refusal{"the instructions of these programs are more than " + std::to_string(MAX_TO_SIGN >> 10) +
                      " KiB: ask for what is to be signed of one program at a time"};
      roomToSign -= bytes.size();
      programs[i].setToSign(bytes);
    }
    RunConfig config = section.type == BPF_PROG_TYPE_XDP ? runConfigOf(object.get(), bpf_program__name(program)) : RunConfig{};
    programs[i].setRunPriority(config.priority);
    programs[i].setProceedOn(config.proceedOn);
  }

  std::vector<const bpf_map*> found;
  const bpf_map* map;
  bpf_object__for_each_map(map, object.get()) if (job.getInspectOnly() || handleOf(bpf_map__fd(map)) != wire::NO_HANDLE)
      found.push_back(map);
  auto maps = result.initMaps(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    uint32_t handle = job.getInspectOnly() ? wire::NO_HANDLE : handleOf(bpf_map__fd(found[i]));
    maps[i].setName(printable(elfName(found[i]), false).c_str());
    maps[i].setHandle(handle);
    maps[i].setInternal(bpf_map__is_internal(found[i]));
    maps[i].setReused(handle < job.getReuse().size() + job.getShared().size());
    maps[i].setPinByName(std::find(pinnedByName.begin(), pinnedByName.end(), found[i]) != pinnedByName.end());
    maps[i].setType(bpf_map__type(found[i]));
    maps[i].setBytes(bytesOf(found[i]));
    maps[i].setKeySize(bpf_map__key_size(found[i]));
    maps[i].setValueSize(bpf_map__value_size(found[i]));
    maps[i].setMaxEntries(bpf_map__max_entries(found[i]));
    maps[i].setFlags(bpf_map__map_flags(found[i]));
    maps[i].setExtra(bpf_map__map_extra(found[i]));
  }
  result.setLicense(license.c_str());
  listVariables(result);
  if (job.getListFunctions()) listFunctions(result);
}

void BpfObject::listVariables(schema::LoadResult::Done::Builder result) const {
  std::vector<std::pair<std::string, Variable>> all;
  if (job.getListVariables()) {
    Variables variables(object.get(), bytes);
    all.assign(variables.all().begin(), variables.all().end());
    std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.second.section < b.second.section; });
    if (all.size() > MAX_LISTED) all.resize(MAX_LISTED);
  }
  auto list = result.initVariables(given.size() + all.size());
  auto fill = [](schema::LoadResult::Variable::Builder out, const std::string& name, const Variable& variable) {
    out.setName(printable(name, false).c_str());
    out.setSection(printable(variable.section, false).c_str());
    out.setOffset(variable.offset);
    out.setSize(variable.bytes.size());
  };
  for (size_t i = 0; i < given.size(); ++i) {
    const auto& [name, variable, mask, value] = given[i];
    fill(list[i], name, variable);
    list[i].setValue(kj::arrayPtr(value.data(), value.size()));
    list[i].setMask(kj::arrayPtr(mask.data(), mask.size()));
  }
  size_t room = MAX_JSON;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& [name, variable] = all[i];
    auto out = list[given.size() + i];
    fill(out, name, variable);
    if (variable.type == 0) continue;
    const btf* types = bpf_object__btf(object.get());
    out.setType(BtfWalk(types).name(variable.type).c_str());
    std::string json = readJson(types, variable.type, now(variable), room);
    out.setJson(json.c_str());
    room -= json.size();
  }
}

// As the job says that the section is now; nothing where it says nothing.
std::span<const unsigned char> BpfObject::now(const Variable& variable) const {
  for (auto content : job.getContents()) {
    auto bytes = content.getBytes();
    if (content.getSection() != variable.section.c_str() || variable.offset > bytes.size()) continue;
    if (bytes.size() - variable.offset >= variable.bytes.size()) return {bytes.begin() + variable.offset, variable.bytes.size()};
  }
  return {};
}

void BpfObject::listFunctions(schema::LoadResult::Done::Builder result) const {
  const btf* types = bpf_object__btf(object.get());
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; types && id < btf__type_cnt(types); ++id)
    if (const btf_type* type = btf__type_by_id(types, id); btf_is_func(type) && btf_vlen(type) == BTF_FUNC_GLOBAL) ids.push_back(id);
  auto functions = result.initFunctions(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    functions[i].setName(printable(btf__name_by_offset(types, btf__type_by_id(types, ids[i])->name_off), false).c_str());
    functions[i].setId(ids[i]);
  }
}

}  // namespace bpfman
