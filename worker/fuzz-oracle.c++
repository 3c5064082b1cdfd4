#include "worker/fuzz-oracle.h"

namespace bpfman {

using wire::Kind;
using wire::Op;

void SessionOracle::asked(Op newOp, bool loader, std::vector<uint8_t> newBody, std::vector<uint8_t> newBlob) {
  op = newOp, byLoader = loader, body = std::move(newBody), blob = std::move(newBlob);
  calls = 0;
  target = offered = -1;
  fresh.clear();
}

// Only what the answer says counts as given: a session that keeps more than it said would hand it out later.
void SessionOracle::answered(const wire::Reply& reply) {
  FUZZ_REQUIRE(byLoader ? (op >= Op::createMap || op == Op::inspectHandle) && granted
                        : op == Op::commit || op == Op::inspectHandle || op == Op::grant || op == Op::addModule,
               "operation %u", unsigned(op));
  FUZZ_REQUIRE(!committed);
  committed = op == Op::commit;
  if (reply.result < 0) return;
  if (op == Op::grant) {
    FUZZ_REQUIRE(!granted, "a second grant");
    granted = true;
    grant = sent<wire::Grant>();
    FUZZ_REQUIRE(grant.maxMaps <= ceiling.maxMaps && grant.maxMapBytes <= ceiling.maxMapBytes && grant.programCount <= ceiling.maxPrograms);
    FUZZ_REQUIRE(fresh.size() == grant.reuseCount);
    unused.assign(grant.programs, grant.programs + grant.programCount);
  }
  if (op == Op::addModule) {
    modules.push_back(offered);
    FUZZ_REQUIRE(reply.result == int64_t(modules.size()) && modules.size() <= wire::MAX_MODULES && offered >= 0);
  }
  if (op == Op::createMap || op == Op::loadBtf || op == Op::loadProgram) {
    FUZZ_REQUIRE(reply.result == int64_t(handles.size()), "handle %lld", static_cast<long long>(reply.result));
    FUZZ_REQUIRE(fresh.size() == 1);
  }
  handles.insert(handles.end(), fresh.begin(), fresh.end());
}

int SessionOracle::moduleOf(uint32_t number) const {
  FUZZ_REQUIRE(number > 0 && number <= modules.size(), "module %u of %zu", number, modules.size());
  return modules[number - 1];
}

void SessionOracle::requireOwn(int descriptor, Kind kind, uint32_t handle) const {
  FUZZ_REQUIRE(handle < handles.size(), "handle %u of %zu", handle, handles.size());
  FUZZ_REQUIRE(handles[handle] == descriptor, "descriptor %d", descriptor);
  FUZZ_REQUIRE(made.contains(descriptor) && made.at(descriptor).kind == kind);
}

long SessionOracle::call(int command, bpf_attr& attr, uint32_t size) {
  FUZZ_REQUIRE(!committed, "command %d after the commit", command);
  FUZZ_REQUIRE(granted || op == Op::grant || op == Op::addModule, "command %d without a grant", command);
  FUZZ_REQUIRE(op == Op::inspectHandle || byLoader == (op >= Op::createMap), "operation %u by the wrong one", unsigned(op));
  FUZZ_REQUIRE(++calls == 1 || op == Op::grant || op == Op::commit || (op == Op::loadProgram && calls == 2 && target > 0),
               "operation %u calls twice", unsigned(op));
  Made object{};
  FUZZ_REQUIRE(size == sizeof attr || command == BPF_PROG_LOAD, "command %d of %u bytes", command, size);
  switch (command) {
    case BPF_MAP_CREATE:
      createMap(attr);
      object = {Kind::map, false, attr.map_type, attr.key_size, attr.value_size};
      break;
    case BPF_BTF_LOAD:
      loadBtf(attr);
      object = {Kind::btf};
      break;
    case BPF_PROG_LOAD:
      FUZZ_REQUIRE(size == sizeof(LoadAttr));
      loadProgram(reinterpret_cast<const LoadAttr&>(attr));
      object = {Kind::program};
      break;
    case BPF_MAP_UPDATE_ELEM: update(attr); break;
    case BPF_OBJ_GET:
      if (op == Op::loadProgram) return openTarget(attr);
      open(attr);
      object = {Kind::map, true};
      break;
    case BPF_OBJ_PIN: pin(attr); break;
    case BPF_OBJ_GET_INFO_BY_FD: info(attr); break;
    case BPF_MAP_FREEZE: {
      bpf_attr rest = attr;
      FUZZ_REQUIRE(op == Op::freezeMap && !made[attr.map_fd].reused);
      requireOwn(takeOut(rest.map_fd), Kind::map, sent<wire::Handle>().handle);
      requireNothingElse(rest);
      break;
    }
    case BPF_PROG_BIND_MAP: {
      bpf_attr rest = attr;
      FUZZ_REQUIRE(op == Op::bindMap);
      requireOwn(takeOut(rest.prog_bind_map.prog_fd), Kind::program, sent<wire::BindMap>().program);
      requireOwn(takeOut(rest.prog_bind_map.map_fd), Kind::map, sent<wire::BindMap>().map);
      requireNothingElse(rest);
      break;
    }
    default: FUZZ_REQUIRE(false, "command %d", command);
  }
  if (--failing == 0) return -ENOMEM;
  if (command == BPF_MAP_UPDATE_ELEM) return kernel.answers.contains(command) ? kernel.answers[command] : 0;  // the recorder wants 4 bytes
  long result = kernel.call(command, attr, size);
  kernel.calls.clear();
  bool makes = command == BPF_MAP_CREATE || command == BPF_BTF_LOAD || command == BPF_PROG_LOAD || command == BPF_OBJ_GET;
  if (makes && result >= 0) {
    if (command == BPF_OBJ_GET)
      object.type = kernel.mapInfo.type, object.keySize = kernel.mapInfo.key_size, object.valueSize = kernel.mapInfo.value_size;
    made[result] = object;
    fresh.push_back(result);
    if (command == BPF_MAP_CREATE) ++maps, mapBytes += pendingBytes;
    if (command == BPF_BTF_LOAD) ++btfs;
    if (command == BPF_PROG_LOAD) unused.erase(unused.begin() + matched);
  }
  return result;
}

}  // namespace bpfman
