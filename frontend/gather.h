// Looks at every hook of the host: what runs there, with and without links.
#pragma once

#include "frontend/attachments.h"
#include "frontend/system-view.h"

namespace bpfman {

struct Gathered {
  std::vector<Attachment> attachments;
  std::vector<std::string> notes;  // what could not be looked at, and why
};

Gathered gatherAttachments(Core& core, SystemView& system, kj::WaitScope& scope);

}  // namespace bpfman
