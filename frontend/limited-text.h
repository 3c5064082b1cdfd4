// A client's text as ours, when it is not too long.
#pragma once

#include <string>

#include <capnp/blob.h>

#include "frontend/limits.h"
#include "frontend/refuse.h"

namespace bpfman {

inline std::string limitedText(capnp::Text::Reader text, kj::StringPtr what, size_t most = limits::NAME_BYTES) {
  if (text.size() > most) refuse(what, " is longer than ", most, " bytes");
  return std::string(text.begin(), text.size());
}

}  // namespace bpfman
