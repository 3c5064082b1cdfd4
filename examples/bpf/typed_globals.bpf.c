// A global variable of each kind of type that can be set as JSON, and some that can't. The program counts in .bss, as one does while
// somebody sets variables beside it.
#include "examples/bpf/common.h"

typedef __u32 threshold_t;
enum mode { MODE_OFF, MODE_ON = 5, MODE_DEBUG = -1 };
enum wide : __u64 { WIDE_LOW = 1, WIDE_HIGH = 0x100000000ull };

struct inner {
  _Bool c;
  __u16 d;
};

struct conf {
  int a;
  struct inner b;
  __u8 low : 3, high : 5;
  enum mode mode;
  struct {
    __u32 nested;
  };
  union {
    __u32 word;
    __u8 bytes[4];
  };
  void* pointer;
};

const volatile threshold_t threshold = 1;
const volatile char name[16] = "none";
const volatile enum mode mode = MODE_OFF;
const volatile enum wide wide = WIDE_LOW;
const volatile _Bool enabled;
volatile float ratio SEC(".data.real") = 0.5;  // bpftool shows no section that has such
volatile double exact SEC(".data.real") = 0.25;
volatile __u32 limits[3] = {7, 8, 9};
volatile struct conf conf = {.a = -3, .b = {.d = 4}, .high = 9, .nested = 11, .word = 12};
volatile struct inner pair[2];
volatile __s8 tiny;
volatile __u64 huge;
volatile __s64 lowest;
void* volatile address;
volatile union {
  __u32 number;
  __s32 real;
} either;
static volatile __u32 hidden = 21;

// In .bss, one behind the other: what counts is between what is set.
volatile __u64 counters[9];
volatile __u32 step = 0;

SEC("xdp")
int typed_globals(struct xdp_md* packet) {
  counters[step & 7] += 1;
  counters[8] += threshold + hidden;
  return enabled && mode == MODE_ON && conf.b.c ? XDP_DROP : XDP_PASS;
}

// Left alone unless it is named.
SEC("?xdp")
int typed_optional(struct xdp_md* packet) { return XDP_PASS; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
