// A test that this machine can't run says why, and fails where all that can run must (BPFMAN_MUST_RUN=1).
#pragma once

#include <cstdlib>

#include <gtest/gtest.h>

#define CANNOT_RUN(reason)                                        \
  do {                                                            \
    if (getenv("BPFMAN_MUST_RUN") != nullptr) FAIL() << (reason); \
    GTEST_SKIP() << (reason);                                     \
  } while (false)
