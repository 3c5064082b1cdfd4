// Runs a compiled filter as the kernel would: for tests, which look at far more calls than can be executed.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "seccomp/confine.h"

namespace bpfman::seccomp {

uint32_t evaluate(const Policy& policy, const seccomp_data& call);  // SECCOMP_RET_*; aborts on an instruction that no filter has

}  // namespace bpfman::seccomp
