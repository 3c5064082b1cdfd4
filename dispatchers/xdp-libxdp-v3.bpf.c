// Beside programs of libxdp 1.6.
#define VERSION 3
#define CONFIG xdp_multi_config_v3
#include "dispatchers/xdp-libxdp.bpf.h"
