/* The configuration of an XDP dispatcher of the libxdp protocol, version 2 (protocol.org of xdp-tools 1.5), as it lies in the dispatcher's
 * .rodata. Plain C: the BPF program includes it too. Other tools read it from the kernel, so each byte is the protocol's. */
#ifndef BPFMAN_XDP_LIBXDP_H
#define BPFMAN_XDP_LIBXDP_H

#include <linux/types.h>

#define XDP_MULTI_POSITIONS 10
#define XDP_MULTI_MAGIC 236 /* of version 2 and later; version 1 begins with the number of programs */
#define XDP_MULTI_VERSION 2
#define XDP_MULTI_RETURN 31 /* what a position without a program returns: its bit is in every mask */

struct xdp_multi_config {
  __u8 magic;
  __u8 version;
  __u8 count;                               /* positions in use */
  __u8 frags;                               /* whether the dispatcher was loaded with BPF_F_XDP_HAS_FRAGS */
  __u32 proceed[XDP_MULTI_POSITIONS];       /* bit = 1 << verdict: the next position runs after it */
  __u32 priorities[XDP_MULTI_POSITIONS];    /* ascending */
  __u32 program_flags[XDP_MULTI_POSITIONS]; /* BPF_F_XDP_HAS_FRAGS if the program there takes frags */
};

struct xdp_multi_config_v1 {
  __u8 count;
  __u8 padding[3];
  __u32 proceed[XDP_MULTI_POSITIONS];
  __u32 priorities[XDP_MULTI_POSITIONS];
};

#endif
