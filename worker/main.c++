// bpfman-worker: the process that holds the privilege. It parses nothing; it performs typed requests out of a fixed table.
#include "worker/operations.h"

int main() {
  bpfman::RealBpf kernel;
  return bpfman::runWorker(kernel);
}
