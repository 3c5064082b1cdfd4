/* What the XDP dispatcher of the tailcall engine and its user side share. Plain C: the BPF program includes it too.
 *
 * A chain is a bank: bank b, position p is slot b * XDP_POSITIONS + p of the prog array "slots", and element b of the array "banks" says
 * how long the chain is and after which verdicts it goes on. The one word in the array "active" says which bank packets take. To change
 * the chain: fill the other bank, switch the word, wait for an RCU grace period (membarrier, MEMBARRIER_CMD_GLOBAL), empty the old bank.
 * A packet reads the word once, so it sees one bank from beginning to end. */
#ifndef BPFMAN_XDP_TAILCALL_H
#define BPFMAN_XDP_TAILCALL_H

#include <linux/types.h>

#define XDP_POSITIONS 10
#define XDP_BANKS 2
#define XDP_SLOTS (XDP_BANKS * XDP_POSITIONS)
#define XDP_DISPATCHER_RETURN 31 /* what a position with an empty slot returns: libxdp's verdict for "the dispatcher itself" */

struct xdp_bank {
  __u32 count;                  /* positions in use, 0 .. XDP_POSITIONS; more counts as XDP_POSITIONS */
  __u32 proceed[XDP_POSITIONS]; /* bit = 1 << verdict: the next position runs after it */
};

#endif
