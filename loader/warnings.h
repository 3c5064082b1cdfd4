// What libbpf has to say, kept for the reason of a refusal. libbpf prints through one function without context, so there is one of these
// at a time.
#pragma once

#include <deque>
#include <string>

namespace bpfman {

class Warnings {
 public:
  Warnings();
  ~Warnings();
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  std::string mostUseful() const;  // one line, without "libbpf:"; "" when it said nothing
  void add(std::string line);

 private:
  std::deque<std::string> lines;  // the last few
};

std::string printable(std::string_view text, bool lines);  // what a terminal may get: the object's author chose parts of these texts

}  // namespace bpfman
