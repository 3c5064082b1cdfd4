// Names in the kernel's own BTF. It is read whole, searched and freed; what stays is a table of tracepoints and one of struct_ops,
// made at the first question. Functions are too many to keep: each question reads anew (a few milliseconds), so who has several asks them
// together.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <kj/common.h>
#include <kj/string.h>

namespace bpfman {

class KernelBtf {
 public:
  explicit KernelBtf(int btf) : btf(btf) {}
  // A descriptor of /sys/kernel/btf/vmlinux, which outlives this; /dev/null where the kernel has none: nothing is ever found.

  kj::Maybe<uint32_t> tracepointId(kj::StringPtr name);  // of the type that a tp_btf program attaches to
  kj::Maybe<uint32_t> functionId(kj::StringPtr name);    // for fentry, fexit and LSM
  struct Member {                                        // a function of a struct_ops
    uint32_t type, index;                                // the struct's id, and its number there
    uint32_t valueType, offset;  // in the value of the map that it becomes: that type's id, and bytes from its begin
  };
  kj::Maybe<Member> structOpsMember(kj::StringPtr name);  // "tcp_congestion_ops.ssthresh"

  struct Names {
    std::set<std::string, std::less<>> functions;
    std::string member;  // of a struct_ops; "": none
  };
  struct Found {
    std::map<std::string, uint32_t, std::less<>> functions;  // those that there are
    kj::Maybe<Member> member;
  };
  Found find(const Names& names);  // all of them in one reading

  kj::Maybe<kj::String> nearestTracepoint(kj::StringPtr name);
  // For "did you mean …?": the name with the fewest changes, if they are few.
  size_t tracepointCount() { return index().size(); }
  const std::vector<std::string>& structOps() { return index(), takenStructOps; }  // those that it takes: "tcp_congestion_ops"

 private:
  int btf;
  bool indexed = false;
  std::map<std::string, uint32_t, std::less<>> tracepoints;
  std::vector<std::string> takenStructOps;

  const std::map<std::string, uint32_t, std::less<>>& index();
};

}  // namespace bpfman
