// A descriptor with one owner. Negative: none (then -value is the errno of the call that failed).
#pragma once

#include <unistd.h>
#include <utility>

namespace bpfman {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int value) : value(value) {}
  Fd(Fd&& other) noexcept : value(std::exchange(other.value, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(value, other.value);
    return *this;
  }
  ~Fd() {
    if (value >= 0) close(value);
  }

  explicit operator bool() const { return value >= 0; }
  int get() const { return value; }
  int error() const { return value; }  // -errno, when there is no descriptor

 private:
  int value = -1;
};

}  // namespace bpfman
