// How the fake daemon writes down what it was told.
#pragma once

#include <string>

#include "schema/bpfman.capnp.h"

namespace bpfman {

template <typename List>
std::string words(const List& list) {
  std::string text;
  for (auto item : list) text += (text.empty() ? "" : ",") + std::string(kj::str(item).cStr());
  return text;
}

inline std::string words(const char* title, capnp::List<schema::Neighbour>::Reader list) {
  std::string result;
  for (auto each : list) {
    result += result.empty() ? std::string(" ") + title + " " : ",";
    result += each.isLink()      ? "link " + std::to_string(each.getLink())
              : each.isProgram() ? std::to_string(each.getProgram())
                                 : each.getName().cStr();
  }
  return result;
}

inline std::string words(capnp::List<schema::KeyValue>::Reader list) {
  std::string text;
  for (auto pair : list) text += (text.empty() ? "" : ",") + std::string(kj::str(pair.getKey(), "=", pair.getValue()).cStr());
  return text;
}

}  // namespace bpfman
