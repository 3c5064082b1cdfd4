// What the fuzz targets share: an input that is read as decisions, and a demand whose failure libFuzzer reports.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

// Not assert, so that it can say more; abort, as libFuzzer keeps the input of a process that aborts.
#define FUZZ_REQUIRE(condition, ...)                                            \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "\n%s:%d: %s is not so", __FILE__, __LINE__, #condition); \
      fprintf(stderr, ". " __VA_ARGS__);                                        \
      fputc('\n', stderr);                                                      \
      abort();                                                                  \
    }                                                                           \
  } while (0)

namespace bpfman {

// Decisions from the front of the input; zeroes when it is used up.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : next(data), end(data + size) {}

  bool empty() const { return next == end; }
  size_t left() const { return end - next; }
  void fill(void* into, size_t size) {
    size_t there = std::min(size, left());
    if (size > 0) memset(into, 0, size);
    if (there > 0) memcpy(into, next, there);
    next += there;
  }
  template <typename T>
  T take() {
    T value;
    fill(&value, sizeof value);
    return value;
  }
  uint8_t byte() { return take<uint8_t>(); }
  size_t below(size_t limit) { return limit > 256 ? take<uint32_t>() % limit : byte() % limit; }
  bool rarely() { return byte() % 32 == 31; }  // not when the input is used up
  template <typename T, size_t N>
  T pick(const T (&choices)[N]) {
    return choices[below(N)];
  }
  std::vector<uint8_t> bytes(size_t most) {
    std::vector<uint8_t> taken(std::min(most, left()));
    fill(taken.data(), taken.size());
    return taken;
  }

 private:
  const uint8_t *next, *end;
};

// Descriptors that one run opened and left open. A run that ended where the process would have ended may: then they are closed here.
class OpenDescriptors {
 public:
  OpenDescriptors() {
    for (int i = 0; i < SEEN; ++i) before[i] = fcntl(i, F_GETFD) >= 0;
  }
  void tidy(bool mayLeave) const {
    for (int i = 0; i < SEEN; ++i) {
      if (before[i] == (fcntl(i, F_GETFD) >= 0)) continue;
      FUZZ_REQUIRE(!before[i], "descriptor %d was closed", i);
      FUZZ_REQUIRE(mayLeave, "descriptor %d was left open", i);
      close(i);
    }
  }

 private:
  static constexpr int SEEN = 64;
  bool before[SEEN];
};

}  // namespace bpfman
