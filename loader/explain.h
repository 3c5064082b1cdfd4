// Why libbpf could not load an object, in one line that says what to do.
#pragma once

#include "loader/proxy.h"
#include "loader/refusal.h"
#include "loader/warnings.h"

namespace bpfman {

Refusal explain(const Proxy& proxy, const Warnings& warnings, int error, std::string_view log);

constexpr size_t MAX_VERIFIER_LOG = 256 << 10;  // bytes in an answer

std::string summaryOf(std::string_view log);  // the source line, the instruction, the complaint, a line each; "" where there is none

std::string cutInTheMiddle(std::string_view log, size_t limit);  // at line ends; says how much is missing

}  // namespace bpfman
