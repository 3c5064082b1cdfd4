#include "frontend/store-masked.h"

#include <atomic>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

namespace bpfman {

namespace {

struct Eight {
  alignas(8) kj::byte bytes[24];
};

TEST(StoreMasked, WritesWhatTheMaskHasAndNothingElse) {
  for (size_t offset = 0; offset < 9; ++offset)
    for (size_t size = 0; size <= 15; ++size) {
      Eight memory;
      memset(memory.bytes, 0x55, sizeof memory.bytes);
      kj::byte value[15], mask[15];
      for (size_t i = 0; i < size; ++i) value[i] = i * 17, mask[i] = i % 5 == 3 ? 0 : i % 5 == 4 ? 0x3c : 0xff;
      storeMasked(memory.bytes + offset, kj::arrayPtr(value, size), kj::arrayPtr(mask, size));
      for (size_t i = 0; i < sizeof memory.bytes; ++i) {
        bool inside = i >= offset && i < offset + size;
        kj::byte bits = inside ? mask[i - offset] : 0, wanted = inside ? value[i - offset] : 0;
        EXPECT_EQ(memory.bytes[i], (0x55 & ~bits) | (wanted & bits)) << offset << " " << size << " " << i;
      }
    }
}

TEST(StoreMasked, NobodySeesHalfOfANumber) {
  alignas(8) uint64_t number = 0;
  std::atomic<bool> over = false;
  bool torn = false;
  std::thread reader([&]() {
    while (!over) {
      uint64_t seen = __atomic_load_n(&number, __ATOMIC_RELAXED);
      torn |= seen != 0 && seen != ~uint64_t{0};
    }
  });
  kj::byte mask[8], value[8];
  memset(mask, 0xff, sizeof mask);
  for (int i = 0; i < 200000; ++i) {
    memset(value, i % 2 ? 0xff : 0, sizeof value);
    storeMasked(reinterpret_cast<kj::byte*>(&number), value, mask);
  }
  over = true;
  reader.join();
  EXPECT_FALSE(torn);
}

}  // namespace
}  // namespace bpfman
