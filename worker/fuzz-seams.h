// The worker, so that it can be fuzzed in one process: where it would end, it throws. Linked instead of die.c++ and the seccomp filters;
// the calls that make or end processes are taken by the linker's --wrap. Nothing of this is in the product.
#pragma once

#include <string>

namespace bpfman {

struct Died {  // die(): the request was refused by ending the process
  std::string line;
};
struct Left {};  // _exit(0): a session that has nothing to do any more

}  // namespace bpfman
