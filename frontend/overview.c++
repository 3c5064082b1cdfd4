#include "frontend/overview.h"

#include <cerrno>
#include <algorithm>
#include <cstring>
#include <linux/bpf.h>
#include <unistd.h>

#include <kj/debug.h>

#include "frontend/kernel-names.h"

namespace bpfman {

using namespace bpf;

namespace {

constexpr size_t MAX_BYTES = 64 << 20;
constexpr size_t CHUNK = 64 << 10;

// Calls `each` with every record of the stream: at least `fixed` bytes, of the right kind.
template <typename Each>
void forEachRecord(std::span<const std::byte> stream, uint16_t kind, size_t fixed, Each each) {
  while (!stream.empty()) {
    Record head;
    KJ_REQUIRE(stream.size() >= sizeof(head), "an overview iterator's record is cut", stream.size());
    std::memcpy(&head, stream.data(), sizeof(head));
    KJ_REQUIRE(head.version == OVERVIEW_VERSION && head.kind == kind, "an overview iterator of another version is pinned: restart bpfmand",
               head.version, head.kind);
    KJ_REQUIRE(head.size >= fixed && head.size <= stream.size() && head.size % 8 == 0, "an overview iterator's record is cut", head.size,
               stream.size());
    each(stream.first(head.size));
    stream = stream.subspan(head.size);
  }
}

template <typename Fixed>
std::vector<Fixed> decodeFixed(std::span<const std::byte> records, uint16_t kind) {
  std::vector<Fixed> all;
  all.reserve(records.size() / sizeof(Fixed));
  forEachRecord(records, kind, sizeof(Fixed), [&](auto record) { std::memcpy(&all.emplace_back(), record.data(), sizeof(Fixed)); });
  return all;
}

void setText(std::string_view text, auto init) {
  auto to = init(text.size());
  std::memcpy(to.begin(), text.data(), text.size());
}

}  // namespace

std::vector<std::byte> readAll(int iterator) {
  std::vector<std::byte> all;
  for (size_t used = 0;;) {
    if (all.size() - used < CHUNK) all.resize(std::max(all.size() * 2, 4 * CHUNK));
    ssize_t got = read(iterator, all.data() + used, all.size() - used);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;  // EAGAIN: a very long walk pauses
    KJ_REQUIRE(got >= 0, "an overview iterator can't be read", strerror(errno));
    if (got == 0) {
      all.resize(used);
      return all;
    }
    used += got;
    KJ_REQUIRE(used <= MAX_BYTES, "the overview is larger than 64 MiB");
  }
}

std::vector<KernelProgram> decodePrograms(std::span<const std::byte> records) {
  std::vector<KernelProgram> all;
  all.reserve(records.size() / sizeof(ProgramRecord));
  forEachRecord(records, RECORD_PROGRAM, sizeof(ProgramRecord), [&](auto record) {
    KernelProgram& program = all.emplace_back();
    std::memcpy(static_cast<ProgramRecord*>(&program), record.data(), sizeof(ProgramRecord));
    auto ids = record.subspan(sizeof(ProgramRecord));
    KJ_REQUIRE(program.mapsListed <= OVERVIEW_MAP_IDS && program.mapsListed * sizeof(uint32_t) <= ids.size(),
               "an overview iterator's record is cut", program.mapsListed, ids.size());
    program.mapIds.resize(program.mapsListed);
    if (program.mapsListed > 0) std::memcpy(program.mapIds.data(), ids.data(), program.mapsListed * sizeof(uint32_t));
  });
  return all;
}

std::vector<KernelMap> decodeMaps(std::span<const std::byte> records) { return decodeFixed<KernelMap>(records, RECORD_MAP); }
std::vector<DispatcherRecord> decodeDispatchers(std::span<const std::byte> records) {
  return decodeFixed<DispatcherRecord>(records, RECORD_DISPATCHER);
}

std::vector<KernelLink> decodeLinks(std::span<const std::byte> records) { return decodeFixed<KernelLink>(records, RECORD_LINK); }

bool statisticsEnabled(int sysctl) {
  char text[2] = "";
  return pread(sysctl, text, 1, 0) == 1 && text[0] != '0';
}

void describe(const KernelProgram& program, const Moment& moment, schema::KernelProgram::Builder to) {
  constexpr char HEX[] = "0123456789abcdef";
  to.setId(program.id);
  to.setType(program.type);
  to.setTypeName(programTypeName(program.type));
  setText(textOf(program.name), [&](size_t size) { return to.initName(size); });
  auto tag = to.initTag(2 * sizeof(program.tag));
  for (size_t i = 0; i < sizeof(program.tag); i++) {
    tag[2 * i] = HEX[program.tag[i] >> 4];
    tag[2 * i + 1] = HEX[program.tag[i] & 15];
  }
  to.setLoadedAt(moment.bootTime + int64_t(program.loadTime));
  to.setUid(program.uid);
  to.setBtfId(program.btfId);
  to.setMapIds(kj::ArrayPtr<const uint32_t>(program.mapIds.data(), program.mapIds.size()));
  to.setXlatedSize(program.xlatedSize);
  to.setJitedSize(program.jitedSize);
  to.setVerifiedInstructions(program.verifiedInstructions);
  to.setMemlock(program.memlock);
  to.setGplCompatible(program.flags & PROGRAM_GPL);

  // Zero says nothing while the kernel doesn't count.
  auto number = [&](schema::Known::Builder known, uint64_t value) {
    if (!(program.flags & PROGRAM_STATISTICS)) {
      known.setUnknown("this kernel does not let an iterator read run statistics");
    } else if (!moment.statisticsOn && program.runCount == 0) {
      known.setUnknown("run statistics are off: sysctl kernel.bpf_stats_enabled=1");
    } else {
      known.setValue(value);
    }
  };
  number(to.initRunTime(), program.runTime);
  number(to.initRunCount(), program.runCount);
  number(to.initRecursionMisses(), program.misses);
}

void describe(const KernelMap& map, schema::KernelMap::Builder to) {
  to.setId(map.id);
  to.setType(map.type);
  to.setTypeName(mapTypeName(map.type));
  setText(textOf(map.name), [&](size_t size) { return to.initName(size); });
  to.setKeySize(map.keySize);
  to.setValueSize(map.valueSize);
  to.setMaxEntries(map.maxEntries);
  to.setFlags(map.flags);
  to.setBtfId(map.btfId);
  to.setExtra(map.extra);
  to.setMemlock(map.memlock);
  to.setFrozen(map.state & MAP_FROZEN);
}

std::string linkTarget(const KernelLink& link) {
  std::string name(textOf(link.target));
  auto group = textOf(link.group);
  if (link.type == BPF_LINK_TYPE_STRUCT_OPS || link.type == BPF_LINK_TYPE_ITER) return name;
  if (group == "uprobes") return name + "+0x" + kj::str(kj::hex(link.offset)).cStr();
  if (link.flags & LINK_PROBE || group.empty() || name.empty()) return name;
  return std::string(group) + "/" + name;
}

void describe(const KernelLink& link, schema::KernelLink::Builder to) {
  to.setId(link.id);
  to.setProgramId(link.programId);
  to.setType(link.type);
  to.setTypeName(linkTypeName(link.type));
  to.setAttachType(link.attachType);
  to.setIfindex(link.ifindex);
  to.setNetns(link.netns);
  to.setCgroupId(link.cgroupId);
  to.setTargetProgramId(link.targetProgramId);
  to.setTargetBtfId(link.targetBtfId);
  to.setTarget(linkTarget(link).c_str());
}

}  // namespace bpfman
