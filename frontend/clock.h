#pragma once

#include <cstdint>
#include <ctime>

namespace bpfman {

inline int64_t wallClock() {  // ns since 1970
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

inline uint64_t monotonicClock() {  // ns, as bpf_ktime_get_ns() has them
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000ull + time.tv_nsec;
}

}  // namespace bpfman
