// Rows and a directory for the catalogue's tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <kj/exception.h>

#include "frontend/catalog.h"

namespace bpfman {

// The process is in a new directory of its own, as the frontend is in its state directory; it goes with the test.
class InTemporaryDirectory : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bpfman-catalog-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory = name;
    previous = std::filesystem::current_path();
    std::filesystem::current_path(directory);
  }
  void TearDown() override {
    std::filesystem::current_path(previous);
    std::filesystem::remove_all(directory);
  }
  std::filesystem::path directory, previous;
};

inline LoadRow loadRow(uint32_t load) {
  return {load,
          LoadRow::loaded,
          "/home/alice/probe.o",
          1000,
          "Dual MIT/GPL",
          1700000000000000000,
          {{0, "counters", 70 + load, false, load, 0, load % 2 == 1}, {1, ".rodata", 71 + load, true, 3, 4}},
          load % 2 == 0,
          "overview",
          "1000:" + std::to_string(load),
          load % 3 == 0,
          load % 6 == 0 ? "the verifier refused it" : "",
          {{"counters", 4294967295u}, {"a", load}},
          {{"count_packets", std::string("\x30\0\xff", 3), 1}, {"b", "x", -1}},
          load % 5 == 0};
}

inline ProgramRow programRow(uint32_t id, uint32_t load, uint32_t index = 0) {
  return {id,
          load,
          index,
          "count_packets",
          2,
          "sched/sched_switch",
          {{"limit", std::string("\0\1\xff\0", 4)}, {"empty", ""}},
          {{"owner", "näme"}, {"a", "b"}},
          "shop",
          17,
          3,
          true,
          "0123456789abcdef"};
}

inline LinkRow linkRow(uint32_t id, uint32_t program) {
  return {id,
          LinkRow::attached,
          program,
          0,
          4000000000u,
          "eth0",
          2,
          1,
          50,
          0x80000004u,
          {2, 31},
          "/run/netns/blue",
          4026531840,
          false,
          "sched/sched_switch",
          std::string("pl\0ce", 5),
          {{"k", "v"}},
          1700000000000000001,
          1001,
          "1001:" + std::to_string(id),
          {3, 9},
          {4},
          LinkRow::paused,
          id % 3 == 0 ? "interface eth0 is not there" : ""};
}

inline DispatcherRow dispatcherRow(uint32_t ifindex) {
  return {"xdp", 4026531840, ifindex, 7, 5, 4294967295u, 12, 50, 3, "/run/netns/blue", "eth0", false, "libxdp", true, 4294967294u, 7};
}

inline ChangeRow changeRow(uint32_t id) {
  return {id,   ChangeRow::waiting,
          1001, 1ull << 62,
          true, {{9, false, 100, 50, 0x80000004u, LinkRow::paused}, {10, true, 101, 0, 1, LinkRow::left}},
          100,  101};
}

inline TokenRow tokenRow(uint32_t id) {
  return {id, 1001, 1700000000123456789, {1ull << 63 | 1, 2, ~0ull, 4}, 4711, 4026532837, 1ull << 63 | 7, id % 2 == 0};
}

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <typename Do>
std::string refusalOf(Do&& act) {
  try {
    act();
  } catch (kj::Exception& error) { return error.getDescription().cStr(); }
  return "";
}

inline bool sameRows(const Catalog& a, const Catalog& b) {
  return a.loads() == b.loads() && a.programs() == b.programs() && a.links() == b.links() && a.dispatchers() == b.dispatchers() &&
         a.changes() == b.changes() && a.tokens() == b.tokens();
}

}  // namespace bpfman
