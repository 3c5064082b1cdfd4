// No program: the types of a kernel that there is not, where a field lies 4244 bytes behind its struct's begin.
struct sk_buff {
  char before[4244];
  unsigned int len;
};

struct sk_buff any;
