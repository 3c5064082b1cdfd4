// Refused on purpose, and late: the verifier gives up at one million instructions ("BPF program is too large"), after 0.7 s without a log
// and some seconds more with one. For tests of cancelling.
#define ROUNDS 20
#include "examples/bpf/large_verifier.bpf.c"
