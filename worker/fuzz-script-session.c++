// The operations of a load session, mostly such that they succeed: programs out of the grant, handles that were given, sizes that fit.
#include "worker/fuzz-script.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace bpfman {

using wire::NO_HANDLE;
using wire::Op;

namespace {

template <typename T>
void put(FuzzMessage& message, Op op, const T& fixed, bool byLoader) {
  message.header.op = op;
  message.byLoader = byLoader;
  message.body.resize(message.fixedSize = sizeof fixed);
  memcpy(message.body.data(), &fixed, sizeof fixed);
}

std::vector<uint8_t> bytesOf(const std::vector<bpf_insn>& instructions) {
  auto* bytes = reinterpret_cast<const uint8_t*>(instructions.data());
  return {bytes, bytes + instructions.size() * sizeof(bpf_insn)};
}

}  // namespace

uint32_t SessionScript::handle() {
  uint8_t choice = input.byte();
  if (choice >= 0xf8) return input.take<uint32_t>();
  return choice % (handles + 1 + choice / 128);  // now and then one that does not exist
}

void SessionScript::withBlob(FuzzMessage& message, std::vector<uint8_t> blob) {
  if (input.byte() % 4 != 3) {
    message.body.insert(message.body.end(), blob.begin(), blob.end());
    return;
  }
  Fd memfd(memfd_create("blob", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  FUZZ_REQUIRE(write(memfd.get(), blob.data(), blob.size()) == ssize_t(blob.size()));
  fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  message.descriptors.push_back(std::move(memfd));
  message.inMemfd = true;
  message.memfdContent = std::move(blob);
}

void SessionScript::grant(FuzzMessage& message) {
  wire::Grant wish{};
  wish.mapTypes = input.rarely() ? input.take<uint64_t>() : ~0ull;
  wish.maxMapBytes = input.rarely() ? input.take<uint64_t>() : ceiling.maxMapBytes;
  wish.maxMaps = input.rarely() ? input.take<uint32_t>() : std::min(ceiling.maxMaps, 4u);
  wish.programCount = input.rarely() ? input.take<uint32_t>() : input.below(5);
  wish.reuseCount = input.rarely() ? input.take<uint32_t>() : input.below(3);
  granted.clear();
  for (uint32_t i = 0; i < wish.programCount && i < 8; ++i) {
    uint8_t type = input.byte();
    wish.programs[i] = type & 1 ? wire::GrantedProgram{BPF_PROG_TYPE_XDP, BPF_XDP, 0, 0}
                                : wire::GrantedProgram{BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, 7, BPF_F_SLEEPABLE};
    if (type % 16 == 8) wish.programs[i].module = 1 + type / 64;
    if (type >= 0xf0) wish.programs[i] = {input.byte(), input.byte(), input.byte(), input.take<uint32_t>()};
    granted.push_back(wish.programs[i]);
  }
  for (uint32_t i = 0; i < wish.reuseCount && i < 3; ++i) wish.reuse[i] = {input.byte(), input.byte()};
  put(message, Op::grant, wish, false);
}

void SessionScript::commit(FuzzMessage& message) {
  wire::Commit wish{5, uint32_t(input.below(3)), uint32_t(input.below(3)), 0, {}};
  if (input.rarely()) wish.load = input.take<uint32_t>(), wish.programCount = input.take<uint32_t>(), wish.mapCount = input.byte();
  for (size_t i = 0; i < 5; ++i) wish.handles[i] = handle();
  put(message, Op::commit, wish, false);
}

void SessionScript::createMap(FuzzMessage& message) {
  wire::CreateMap wish{};
  wish.type = input.byte() % 40;
  wish.keySize = wish.valueSize = 4, wish.maxEntries = 1;
  uint8_t odd = input.byte();
  if (odd & 1) wish.keySize = input.byte();
  if (odd & 2) wish.valueSize = input.rarely() ? input.take<uint32_t>() : input.byte();
  if (odd & 4) wish.maxEntries = input.rarely() ? input.take<uint32_t>() : input.byte();
  if (odd & 8) wish.flags = 1u << input.below(32);
  wish.btf = odd & 16 ? handle() : NO_HANDLE;
  wish.innerMap = odd & 32 ? handle() : NO_HANDLE;
  if (odd & 64) wish.btfKeyType = input.byte(), wish.btfValueType = input.byte(), wish.extra = input.take<uint64_t>();
  if (odd & 128) input.fill(wish.name, sizeof wish.name);
  created.push_back(wish);
  put(message, Op::createMap, wish, true);
}

void SessionScript::loadBtf(FuzzMessage& message) {
  std::vector<uint8_t> blob = input.bytes(input.byte());
  put(message, Op::loadBtf, wire::LoadBtf{uint32_t(blob.size()), 0}, true);
  withBlob(message, std::move(blob));
}

std::vector<bpf_insn> SessionScript::instructions() {
  std::vector<bpf_insn> all;
  for (size_t count = input.below(12); count > 0; --count) {
    uint8_t how = input.byte();
    if (how < 96) {  // a wide load, of each kind
      all.push_back({BPF_LD | BPF_IMM | BPF_DW, 1, uint8_t(how % 8), 0, int32_t(how % 8 > 4 ? input.below(80) : handle())});
      all.push_back({uint8_t(how >= 88), 0, 0, 0, how & 8 ? int32_t(input.byte()) : 0});
    } else if (how < 128) {
      all.push_back({BPF_JMP | BPF_CALL, 0, uint8_t(how % 3), int16_t(how & 16 ? input.byte() : 0), int32_t(input.take<uint16_t>() % 600)});
    } else if (how < 160) {
      all.push_back(input.take<bpf_insn>());
    } else if (how < 164) {  // half of a pair
      all.push_back({BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, int32_t(handle())});
    } else {
      all.push_back({BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0});
    }
  }
  all.push_back({BPF_JMP | BPF_EXIT, 0, 0, 0, 0});
  return all;
}

void SessionScript::loadProgram(FuzzMessage& message) {
  wire::LoadProgram wish{};
  if (!granted.empty()) {
    const auto& program = granted[input.below(granted.size())];
    wish.type = program.type, wish.expectedAttachType = program.expectedAttachType, wish.attachBtfId = program.attachBtfId;
    wish.flags = program.flags, wish.attachModule = program.module;
  }
  uint8_t odd = input.byte();
  if (odd & 1 && odd & 2)
    (odd & 4 ? wish.type : odd & 8 ? wish.expectedAttachType : odd & 16 ? wish.attachBtfId : wish.flags) = input.byte();
  auto code = instructions();
  wish.instructionCount = code.size();
  auto blob = bytesOf(code);
  wish.btf = odd & 32 ? handle() : NO_HANDLE;
  if (odd & 16) wish.named[input.below(wire::MAX_NAMED)] = handle() + 1;
  if (odd & 32) {
    wish.funcInfoRecord = input.byte() % 16, wish.funcInfoCount = input.byte() % 4;
    wish.lineInfoRecord = input.byte() % 16, wish.lineInfoCount = input.byte() % 4;
    wish.coreReloRecord = input.byte() % 16, wish.coreReloCount = input.byte() % 4;
    blob.resize(blob.size() + wish.funcInfoRecord * wish.funcInfoCount + wish.lineInfoRecord * wish.lineInfoCount +
                wish.coreReloRecord * wish.coreReloCount);
  }
  if (odd & 4 && odd & 8) {
    wish.signatureSize = input.byte(), wish.keyring = input.byte();
    blob.resize(blob.size() + wish.signatureSize);
  }
  if (odd & 64) wish.logLevel = input.byte(), wish.logSize = input.take<uint16_t>();
  if (odd & 128) input.fill(odd & 1 ? wish.name : wish.license, sizeof wish.name);
  put(message, Op::loadProgram, wish, true);
  withBlob(message, std::move(blob));
}

void SessionScript::initialise(FuzzMessage& message) {
  wire::Initialise wish{handle(), 4, 4, input.byte() % 4u};
  if (!created.empty()) {
    const auto& map = created[input.below(created.size())];
    wish.keySize = map.keySize, wish.valueSize = map.valueSize;
  }
  if (input.byte() & 1) wish.valueSize = (wish.valueSize + 7) / 8 * 8 * ceiling.possibleCpus;
  if (input.rarely()) wish.keySize = input.byte(), wish.valueSize = input.take<uint16_t>();
  std::vector<uint8_t> blob((wish.keySize + uint64_t{wish.valueSize}) % 40000);
  if (wish.keySize + 4u <= blob.size()) {
    uint32_t value = handle();
    memcpy(blob.data() + wish.keySize, &value, sizeof value);
  }
  if (input.byte() % 4 == 0)
    for (; wish.functions < input.byte() % 4u; ++wish.functions) {
      wire::FunctionAt function{input.byte(), handle()};
      auto bytes = reinterpret_cast<const uint8_t*>(&function);
      blob.insert(blob.end(), bytes, bytes + sizeof function);
    }
  put(message, Op::initialise, wish, true);
  withBlob(message, std::move(blob));
}

FuzzMessage SessionScript::next(size_t known) {
  handles = known;
  FuzzMessage message;
  uint8_t what = input.byte();
  switch (what % 16) {
    case 0: grant(message); break;
    case 1:
      if (what < 0x80)
        grant(message);
      else
        message.header.op = Op::addModule, message.descriptors.push_back(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
      break;
    case 2: commit(message); break;
    case 3: put(message, Op::inspectHandle, wire::Handle{handle()}, false); break;
    case 4: put(message, Op::inspectHandle, wire::Handle{handle()}, true); break;
    case 5: put(message, Op::freezeMap, wire::Handle{handle()}, true); break;
    case 6: put(message, Op::bindMap, wire::BindMap{handle(), handle()}, true); break;
    case 7: loadBtf(message); break;
    case 8:
    case 9: initialise(message); break;
    case 10:
    case 11:
    case 12: createMap(message); break;
    case 13: message.byLoader = true, message.hangUp = input.rarely();  // and a program otherwise
    default: loadProgram(message); break;
  }
  message.header.size = sizeof message.header + message.body.size();
  if (what >= 0xf0) spoil(input, message);
  return message;
}

}  // namespace bpfman
