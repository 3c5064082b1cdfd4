#include "frontend/store-masked.h"

#include <cstdint>
#include <cstring>

#include <kj/debug.h>

namespace bpfman {

namespace {

template <typename T>
bool storeWhole(kj::byte* at, kj::ArrayPtr<const kj::byte> value, kj::ArrayPtr<const kj::byte> mask) {
  if (reinterpret_cast<uintptr_t>(at) % sizeof(T) != 0 || value.size() < sizeof(T)) return false;
  for (auto bits : mask.slice(0, sizeof(T)))
    if (bits != 0xff) return false;
  T number;
  memcpy(&number, value.begin(), sizeof number);
  __atomic_store_n(reinterpret_cast<T*>(at), number, __ATOMIC_RELAXED);
  return true;
}

// A bit field: its neighbours in the byte stay as they are at that moment.
void storeBits(kj::byte* at, kj::byte value, kj::byte mask) {
  kj::byte before = __atomic_load_n(at, __ATOMIC_RELAXED), after;
  do {
    after = (before & ~mask) | (value & mask);
  } while (!__atomic_compare_exchange_n(at, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

}  // namespace

void storeMasked(kj::byte* at, kj::ArrayPtr<const kj::byte> value, kj::ArrayPtr<const kj::byte> mask) {
  KJ_REQUIRE(value.size() == mask.size());
  for (size_t i = 0; i < value.size();) {
    auto values = value.slice(i, value.size()), masks = mask.slice(i, mask.size());
    size_t done = storeWhole<uint64_t>(at + i, values, masks)   ? 8
                  : storeWhole<uint32_t>(at + i, values, masks) ? 4
                  : storeWhole<uint16_t>(at + i, values, masks) ? 2
                  : storeWhole<uint8_t>(at + i, values, masks)  ? 1
                                                                : 0;
    if (done == 0 && mask[i] != 0) storeBits(at + i, value[i], mask[i]);
    i += kj::max(done, size_t{1});
  }
}

}  // namespace bpfman
