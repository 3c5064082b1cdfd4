/* The configuration of a TC dispatcher of the freplace engine, as it lies in the dispatcher's .rodata. Plain C: the BPF program includes it
 * too. Nobody else reads it. */
#ifndef BPFMAN_TC_FREPLACE_H
#define BPFMAN_TC_FREPLACE_H

#include <linux/types.h>

#define TC_FREPLACE_POSITIONS 10

struct tc_freplace_config {
  __u32 count;                          /* positions in use */
  __u32 proceed[TC_FREPLACE_POSITIONS]; /* bit = 1 << (verdict + 1): the next position runs after it */
};

#endif
