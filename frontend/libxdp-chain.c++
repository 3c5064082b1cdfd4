#include "frontend/libxdp-chain.h"

#include <algorithm>
#include <cstring>

#include <kj/debug.h>
#include <linux/bpf.h>

namespace bpfman {

namespace {

constexpr uint32_t RETURN_BIT = 1u << XDP_MULTI_RETURN;

template <typename Config>
Config as(const bpf::DispatcherRecord& record) {
  Config config;
  std::memcpy(&config, record.config, sizeof config);
  return config;
}

template <typename Config>
LibxdpConfig membersOf(const Config& config, uint32_t version) {
  LibxdpConfig result{version, {}};
  for (uint32_t i = 0; i < std::min<uint32_t>(config.count, XDP_MULTI_POSITIONS); ++i)
    result.members.push_back({"", config.priorities[i], config.proceed[i], false});
  return result;
}

}  // namespace

// Version 1 has no magic: it begins with the number of programs, which is never that large.
kj::Maybe<LibxdpConfig> libxdpConfigOf(const bpf::DispatcherRecord& record) {
  auto config = as<xdp_multi_config>(record);
  if (config.magic == XDP_MULTI_MAGIC && record.configSize >= 2) {
    if (config.version != XDP_MULTI_VERSION || record.configSize < sizeof config) return LibxdpConfig{};
    LibxdpConfig result = membersOf(config, XDP_MULTI_VERSION);
    for (size_t i = 0; i < result.members.size(); ++i) result.members[i].frags = config.program_flags[i] & BPF_F_XDP_HAS_FRAGS;
    return kj::mv(result);
  }
  if (record.configSize == sizeof(xdp_multi_config_v1)) return membersOf(as<xdp_multi_config_v1>(record), 1);
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

bool standsAlone(std::span<const LibxdpMember> members) {
  return members.size() == 1 && !(members[0].proceedOn & ~(RETURN_BIT | 1u << XDP_PASS));
}

}  // namespace bpfman
