#include "frontend/libxdp-chain.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <kj/debug.h>
#include <linux/bpf.h>

namespace bpfman {

namespace {

constexpr uint32_t RETURN_BIT = 1u << XDP_MULTI_RETURN;

static_assert(sizeof(xdp_multi_config_v1) == 84 && sizeof(xdp_multi_config) == 124 && sizeof(xdp_multi_config_v3) == 128);
static_assert(offsetof(xdp_multi_config_v3, program_flags) == offsetof(xdp_multi_config, program_flags));

template <typename Config>
Config as(const bpf::DispatcherRecord& record) {
  Config config;
  std::memcpy(&config, record.config, sizeof config);
  return config;
}

template <typename Config>
LibxdpConfig membersOf(const Config& config, uint32_t version) {
  LibxdpConfig result{version, {}, false};
  for (uint32_t i = 0; i < std::min<uint32_t>(config.count, XDP_MULTI_POSITIONS); ++i)
    result.members.push_back({"", config.priorities[i], config.proceed[i], false});
  return result;
}

}  // namespace

// Version 1 has no magic: it begins with the number of programs, which is never that large. Version 3 is version 2 with more behind it.
kj::Maybe<LibxdpConfig> libxdpConfigOf(const bpf::DispatcherRecord& record) {
  auto config = as<xdp_multi_config_v3>(record);
  if (config.magic == XDP_MULTI_MAGIC && record.configSize >= 2) {
    size_t size = config.version == 2 ? sizeof(xdp_multi_config) : sizeof config;
    if (config.version < 2 || config.version > XDP_MULTI_NEWEST || record.configSize < size) return LibxdpConfig{};
    LibxdpConfig result = membersOf(config, config.version);
    for (size_t i = 0; i < result.members.size(); ++i) result.members[i].frags = config.program_flags[i] & BPF_F_XDP_HAS_FRAGS;
    result.deviceBound = config.version == 3 && config.device_bound;
    return kj::mv(result);
  }
  auto old = as<xdp_multi_config_v1>(record);
  if (record.configSize == sizeof old && old.count <= XDP_MULTI_POSITIONS) return membersOf(old, 1);
  return nullptr;
}

xdp_multi_config libxdpConfigFor(std::span<const LibxdpMember> members) {
  KJ_REQUIRE(members.size() <= XDP_MULTI_POSITIONS);
  xdp_multi_config config{};
  config.magic = XDP_MULTI_MAGIC;
  config.version = XDP_MULTI_VERSION;
  config.count = members.size();
  config.frags = std::ranges::all_of(members, &LibxdpMember::frags);
  for (size_t i = 0; i < members.size(); ++i) {
    int64_t priority = members[i].priority;
    if (i > 0) {
      int64_t before = config.priorities[i - 1];
      bool sorted = members[i - 1].name < members[i].name;
      priority = std::max(priority, sorted ? before : before + 1);
    }
    config.priorities[i] = std::min<int64_t>(priority, UINT32_MAX);
    config.proceed[i] = members[i].proceedOn | RETURN_BIT;
    config.program_flags[i] = members[i].frags ? BPF_F_XDP_HAS_FRAGS : 0;
  }
  return config;
}

std::string libxdpBytes(const xdp_multi_config& config, uint32_t version) {
  std::string bytes(reinterpret_cast<const char*>(&config), sizeof config);
  bytes[offsetof(xdp_multi_config, version)] = static_cast<char>(version);
  if (version == 3) bytes.resize(sizeof(xdp_multi_config_v3));
  if (version != 1) return bytes;
  xdp_multi_config_v1 old{};
  old.count = config.count;
  std::memcpy(old.proceed, config.proceed, sizeof old.proceed);
  std::memcpy(old.priorities, config.priorities, sizeof old.priorities);
  return std::string(reinterpret_cast<const char*>(&old), sizeof old);
}

bool standsAlone(std::span<const LibxdpMember> members) {
  return members.size() == 1 && !(members[0].proceedOn & ~(RETURN_BIT | 1u << XDP_PASS));
}

}  // namespace bpfman
