// What an interface gets on which nobody was.
#define VERSION 2
#define CONFIG xdp_multi_config
#include "dispatchers/xdp-libxdp.bpf.h"
