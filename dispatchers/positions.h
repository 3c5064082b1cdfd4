/* The ten positions of a dispatcher whose functions are replaced: EACH_POSITION(WHAT) is WHAT(0) … WHAT(9). */
#ifndef BPFMAN_POSITIONS_H
#define BPFMAN_POSITIONS_H

#define EACH_POSITION(WHAT) WHAT(0) WHAT(1) WHAT(2) WHAT(3) WHAT(4) WHAT(5) WHAT(6) WHAT(7) WHAT(8) WHAT(9)

#endif
