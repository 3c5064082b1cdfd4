/* The configuration of an XDP dispatcher of the libxdp protocol, version 2 (protocol.org of xdp-tools 1.5), as it lies in the dispatcher's
 * .rodata; and those of the versions before and after it. Plain C: the BPF program includes it too. Other tools read it from the kernel, so
 * each byte is the protocol's. */
#ifndef BPFMAN_XDP_LIBXDP_H
#define BPFMAN_XDP_LIBXDP_H

#include <linux/types.h>

#define XDP_MULTI_POSITIONS 10
#define XDP_MULTI_MAGIC 236 /* of version 2 and later; version 1 begins with the number of programs */
#define XDP_MULTI_VERSION 2 /* of a dispatcher in which others have no program */
#define XDP_MULTI_NEWEST 3
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

struct xdp_multi_config_v3 { /* begins as version 2 */
  __u8 magic, version, count, frags;
  __u32 proceed[XDP_MULTI_POSITIONS], priorities[XDP_MULTI_POSITIONS], program_flags[XDP_MULTI_POSITIONS];
  __u8 device_bound; /* whether it was loaded for one device (BPF_F_XDP_DEV_BOUND_ONLY) */
  __u8 padding[3];
};

#endif
