// For tests on the real kernel: the iterators, loaded with the worker's three capabilities only, small programs made of instructions,
// and bpftool's opinion.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <kj/io.h>
#include <nlohmann/json.hpp>

#include "frontend/overview.h"
#include "tests/cannot-run.h"

namespace bpfman::testing {

struct Iterators {
  Iterators() = default;
  Iterators(Iterators&&) = default;
  ~Iterators() noexcept {}  // a test's own destructor may not throw

  std::shared_ptr<bpf_object> object;
  std::string failure;                    // why not, when object is null
  kj::AutoCloseFd programs, maps, links;  // links of the iterators

  kj::AutoCloseFd open(const kj::AutoCloseFd& link) const { return kj::AutoCloseFd(bpf_iter_create(link.get())); }
  std::vector<KernelProgram> allPrograms() const { return decodePrograms(readAll(open(programs))); }
  std::vector<KernelMap> allMaps() const { return decodeMaps(readAll(open(maps))); }
  std::vector<KernelLink> allLinks() const { return decodeLinks(readAll(open(links))); }
};

Iterators loadWithThreeCapabilities();
// In a thread of user 65534 that has CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; it then drops these too and reads each iterator once.

kj::AutoCloseFd program(bpf_prog_type type, const char* name, uint32_t expectedAttachType = 0, uint32_t attachBtfId = 0,
                        const std::vector<int>& maps = {});
// Returns 2 (XDP_PASS), or 0 where that is not allowed; its code names the maps.

nlohmann::json bpftool(const std::string& arguments);  // the answer of bpftool -j
bool run(const std::string& command);

template <typename All>
auto find(const All& all, uint32_t id) -> const typename All::value_type* {
  for (auto& one : all)
    if (one.id == id) return &one;
  return nullptr;
}

template <typename Info>
uint32_t idOf(int descriptor) {
  Info info{};
  uint32_t size = sizeof(info);
  EXPECT_EQ(bpf_obj_get_info_by_fd(descriptor, &info, &size), 0);
  return info.id;
}

}  // namespace bpfman::testing
