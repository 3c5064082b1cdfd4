// Why a job can't be done, for the person who asked: thrown once, where it is found, and answered by main.
#pragma once

#include <string>

namespace bpfman {

struct Refusal {
  std::string reason;            // one line, says what to do
  int error = 0;                 // the kernel's errno
  std::string verifierLog = "";  // cut to size
  std::string summary = "";      // of the log, for people: a few lines
};

}  // namespace bpfman
