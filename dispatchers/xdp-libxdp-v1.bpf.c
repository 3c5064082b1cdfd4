// Beside programs of libxdp before 1.3.
#define VERSION 1
#define CONFIG xdp_multi_config_v1
#include "dispatchers/xdp-libxdp.bpf.h"
