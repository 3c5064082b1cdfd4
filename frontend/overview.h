// Every program, map and link of the machine, as the iterators in bpf/ tell it. Pure: descriptors are given, read and not kept; what
// is decoded is bounded and checked, and a record that is cut or of another version ends the decoding with an exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/records.h"
#include "schema/bpfman.capnp.h"

namespace bpfman {

// What the records say, with nothing left out: the fixed part as it is, the rest decoded.
struct KernelProgram : bpf::ProgramRecord {
  std::vector<uint32_t> mapIds;  // at most OVERVIEW_MAP_IDS; mapCount is the true number
};
using KernelMap = bpf::MapRecord;
using KernelLink = bpf::LinkRecord;

std::vector<std::byte> readAll(int iterator);
// One pass over a freshly opened iterator descriptor. Refuses more than 64 MiB.

std::vector<KernelProgram> decodePrograms(std::span<const std::byte> records);
std::vector<KernelMap> decodeMaps(std::span<const std::byte> records);
std::vector<bpf::DispatcherRecord> decodeDispatchers(std::span<const std::byte> records);
std::vector<KernelLink> decodeLinks(std::span<const std::byte> records);
// In the order of the kernel, which is ascending by id.

// What a record cannot know and its description needs.
struct Moment {
  int64_t bootTime = 0;       // of kernel-names.h
  bool statisticsOn = false;  // sysctl kernel.bpf_stats_enabled
};

bool statisticsEnabled(int sysctl);  // a descriptor of /proc/sys/kernel/bpf_stats_enabled; false when it can't be read

void describe(const KernelProgram& program, const Moment& moment, schema::KernelProgram::Builder to);
void describe(const KernelMap& map, schema::KernelMap::Builder to);
void describe(const KernelLink& link, schema::KernelLink::Builder to);

std::string linkTarget(const KernelLink& link);
// "syscalls/sys_enter_kill", "sched_switch", a file and offset, a function, an iterator's name; "" for links of devices and cgroups.

// A fixed field that the kernel fills with a text: up to its NUL, or whole.
template <size_t n>
std::string_view textOf(const char (&field)[n]) {
  std::string_view all(field, n);
  return all.substr(0, all.find('\0'));
}

}  // namespace bpfman
