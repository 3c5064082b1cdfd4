// Why libbpf could not load an object, in one line that says what to do.
#pragma once

#include "loader/proxy.h"
#include "loader/refusal.h"
#include "loader/warnings.h"

namespace bpfman {

Refusal explain(const Proxy& proxy, const Warnings& warnings, int error, std::string_view log);

std::string cutInTheMiddle(std::string_view log, size_t limit);  // at line ends; says how much is missing

}  // namespace bpfman
