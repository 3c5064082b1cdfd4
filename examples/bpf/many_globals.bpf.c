// 4097 variables: one more than are listed.
#include "examples/bpf/common.h"

#define ONE(n) char v##n;
#define EIGHT(n) ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) ONE(n##5) ONE(n##6) ONE(n##7)
#define EIGHT_TIMES(what, n) what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7)
#define SIXTY_FOUR(n) EIGHT_TIMES(EIGHT, n)
#define EIGHT_OF_64(n) \
  SIXTY_FOUR(n##0) SIXTY_FOUR(n##1) SIXTY_FOUR(n##2) SIXTY_FOUR(n##3) SIXTY_FOUR(n##4) SIXTY_FOUR(n##5) SIXTY_FOUR(n##6) SIXTY_FOUR(n##7)

EIGHT_OF_64(0)
EIGHT_OF_64(1)
EIGHT_OF_64(2)
EIGHT_OF_64(3)
EIGHT_OF_64(4)
EIGHT_OF_64(5)
EIGHT_OF_64(6)
EIGHT_OF_64(7)
char last;

SEC("xdp")
int many_globals(struct xdp_md* packet) { return last ? XDP_DROP : XDP_PASS; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
