/* What the dispatchers of the tailcall engine and their user side share. Plain C: the BPF programs include it too.
 *
 * A chain is a bank: bank b, position p is slot b * CHAIN_POSITIONS + p of the prog array "slots", and element b of the array "banks" says
 * how long the chain is and after which verdicts it goes on. The one word in the array "active" says which bank packets take. To change
 * the chain: fill the other bank, switch the word, wait for an RCU grace period (membarrier, MEMBARRIER_CMD_GLOBAL), empty the old bank.
 * A packet reads the word once, so it sees one bank from beginning to end.
 *
 * A bank can be in use until a time only, while its change waits to be confirmed: from then on packets take the other bank, which still has
 * the chain of before, without anybody's doing. `timed` is a word of its own, so that writing it alone confirms the change: a time that is
 * written while packets read it may be seen half. */
#ifndef BPFMAN_TAILCALL_H
#define BPFMAN_TAILCALL_H

#include <linux/types.h>

#define CHAIN_POSITIONS 30
#define CHAIN_BANKS 2
#define CHAIN_SLOTS (CHAIN_BANKS * CHAIN_POSITIONS)

/* What a position with an empty slot returns: "the dispatcher itself", as libxdp and upstream's TC dispatcher say it. */
#define XDP_DISPATCHER_RETURN 31
#define TC_DISPATCHER_RETURN 30

struct chain_bank {
  __u32 count;                    /* positions in use, 0 .. CHAIN_POSITIONS; more counts as CHAIN_POSITIONS */
  __u32 timed;                    /* not 0: only until `until` */
  __u64 until;                    /* ns of CLOCK_MONOTONIC */
  __u32 proceed[CHAIN_POSITIONS]; /* bit of a verdict: XDP 1 << verdict, TC 1 << (verdict + 1); the next position runs after it */
};

#endif
