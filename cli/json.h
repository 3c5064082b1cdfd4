// The JSON shapes of `-o json`: key order and types are a contract with scripts. What we add to upstream's keys stands in
// docs/compatibility.md.
#pragma once

#include "schema/bpfman.capnp.h"

#include <nlohmann/json.hpp>

#include <ostream>
#include <string>

namespace bpfman {

using Json = nlohmann::ordered_json;

std::string timeText(int64_t nanoseconds);  // RFC 3339, UTC, whole seconds

Json jsonOf(schema::ProgramDetails::Reader details);
Json jsonOf(schema::ProgramEntry::Reader entry);
Json jsonOf(schema::LinkRecord::Reader record);
Json jsonOf(schema::LinkDetails::Reader details);
Json jsonOf(schema::Dispatcher::Reader dispatcher);
Json jsonOf(schema::Planned::Reader member);
Json jsonOf(schema::Attachment::Reader attachment, const std::string& programName);

void print(std::ostream& out, const Json& json);

template <typename List>
Json jsonArray(const List& list) {
  Json elements = Json::array();
  for (auto element : list) elements.push_back(jsonOf(element));
  return elements;
}

}  // namespace bpfman
