// What changes of a chain of XDP programs cost, and what the chain costs each packet, by both engines and by libxdp's own xdp-loader.
#pragma once

#include <string>

namespace bpfman::bench {

void measureChains(const std::string& binaries, const std::string& objects, const std::string& directory, size_t rounds);

}  // namespace bpfman::bench
