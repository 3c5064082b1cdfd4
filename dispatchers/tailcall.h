/* What the dispatchers of the tailcall engine and their user side share. Plain C: the BPF programs include it too.
 *
 * A chain is a bank: bank b, position p is slot b * CHAIN_POSITIONS + p of the prog array "slots", and element b of the array "banks" says
 * how long the chain is and after which verdicts it goes on. The one word in the array "active" says which bank packets take. To change
 * the chain: fill the other bank, switch the word, wait for an RCU grace period (membarrier, MEMBARRIER_CMD_GLOBAL), empty the old bank.
 * A packet reads the word once, so it sees one bank from beginning to end.
 *
 * A bank can be in use until a time only, while its change waits to be confirmed: from then on packets take the other bank, which still has
 * the chain of before, without anybody's doing. `timed` is a word of its own, so that writing it alone confirms the change: a time that is
 * written while packets read it may be seen half.
 *
 * Counting is switched by the flags of both banks, in place. A member's counter is a run of words in the per-CPU array "counters", from
 * element counter[position] * COUNTER_WORDS on; it keeps its counter over changes of the chain, and "link" says whose it is. */
#ifndef BPFMAN_TAILCALL_H
#define BPFMAN_TAILCALL_H

#include <linux/types.h>

#define CHAIN_POSITIONS 30
#define CHAIN_BANKS 2
#define CHAIN_SLOTS (CHAIN_BANKS * CHAIN_POSITIONS)

/* What a position with an empty slot returns: "the dispatcher itself", as libxdp and upstream's TC dispatcher say it. */
#define XDP_DISPATCHER_RETURN 31
#define TC_DISPATCHER_RETURN 30

/* Flags of a bank. */
#define CHAIN_COUNTS 1u  /* what becomes of each packet at each member */
#define CHAIN_TIMES 2u   /* and how long the member ran; only with CHAIN_COUNTS */
#define CHAIN_COUNTED 4u /* it was counted once: a counter that is free may hold something */

/* The words of a counter. For final verdicts one word each, from the lowest on, and the last for all others. */
#define COUNTER_PASSED_ON 0   /* the next member ran, or there was none */
#define COUNTER_TIMED_RUNS 1  /* while CHAIN_TIMES was on */
#define COUNTER_NANOSECONDS 2 /* of these runs */
#define COUNTER_FINAL 3
#define XDP_COUNTED_VERDICTS 5 /* XDP_ABORTED .. XDP_REDIRECT */
#define TC_COUNTED_VERDICTS 10 /* TC_ACT_UNSPEC .. TC_ACT_TRAP */
#define COUNTER_WORDS(verdicts) (COUNTER_FINAL + (verdicts) + 1)
#define CHAIN_COUNTERS CHAIN_SLOTS /* so that all members can be replaced at once while the old ones still count */

struct chain_bank {
  __u32 count;                    /* positions in use, 0 .. CHAIN_POSITIONS; more counts as CHAIN_POSITIONS */
  __u32 flags;                    /* CHAIN_COUNTS, … */
  __u64 until;                    /* ns of CLOCK_MONOTONIC */
  __u32 timed;                    /* not 0: only until `until` */
  __u32 proceed[CHAIN_POSITIONS]; /* bit of a verdict: XDP 1 << verdict, TC 1 << (verdict + 1); the next position runs after it */
  __u32 link[CHAIN_POSITIONS];    /* the member, as bpfman numbers it; for the user side only */
  __u8 counter[CHAIN_POSITIONS];  /* which counter is the member's: 0 .. CHAIN_COUNTERS - 1 */
};

#endif
