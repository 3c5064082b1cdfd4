// Label selectors as kubectl knows them, over a program's metadata: k=v, k==v, k!=v, k, !k, k in (a,b), k notin (a,b), joined by commas.
// As there, != and notin are also true of what lacks the key.
#pragma once

#include "schema/bpfman.capnp.h"

#include <set>
#include <string>
#include <vector>

namespace bpfman {

class Selector {
 public:
  explicit Selector(const std::string& text);  // an error shows the piece that is not understood; "" matches all

  bool matches(capnp::List<schema::KeyValue>::Reader labels) const;

 private:
  struct Requirement {
    std::string key;
    bool wanted;  // false: !k, !=, notin
    bool any;     // k, !k: whatever the value
    std::set<std::string> values;
  };
  static Requirement parse(const std::string& piece);

  std::vector<Requirement> requirements;
};

}  // namespace bpfman
