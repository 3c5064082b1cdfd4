// What caller.bpf.c writes: one record, or nothing when the process is gone. Shared by BPF C and C++.
#pragma once

#include <linux/types.h>

struct CallerRecord {
  __u64 cgroup;                           // id: the inode of its directory in cgroup2
  __u32 userNamespace, networkNamespace;  // inodes; 0: it is ending
};
