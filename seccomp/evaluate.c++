#include "seccomp/evaluate.h"

#include <cstdlib>
#include <cstring>

namespace bpfman::seccomp {

uint32_t evaluate(const Policy& policy, const seccomp_data& call) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (size_t at = 0; at < policy.length; ++at) {
    const sock_filter& each = policy.filter[at];
    auto jump = [&](bool taken) { at += taken ? each.jt : each.jf; };
    switch (each.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (each.k > sizeof call - sizeof a) abort();
        memcpy(&a, reinterpret_cast<const char*>(&call) + each.k, sizeof a);
        break;
      case BPF_LD | BPF_IMM: a = each.k; break;
      case BPF_LD | BPF_MEM: a = memory[each.k]; break;
      case BPF_LDX | BPF_MEM: x = memory[each.k]; break;
      case BPF_ST: memory[each.k] = a; break;
      case BPF_MISC | BPF_TAX: x = a; break;
      case BPF_MISC | BPF_TXA: a = x; break;
      case BPF_ALU | BPF_AND | BPF_K: a &= each.k; break;
      case BPF_JMP | BPF_JA: at += each.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(a == each.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(a > each.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(a >= each.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump(a & each.k); break;
      case BPF_RET | BPF_K: return each.k;
      default: abort();
    }
  }
  abort();
}

}  // namespace bpfman::seccomp
