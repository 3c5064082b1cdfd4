// The worker does not recover: what should not be there ends the process, after one line that says what it was.
#pragma once

namespace bpfman {

[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char* format, ...);

}  // namespace bpfman
