// An iterator over one process, named by its pidfd: where it is. The kernel shows this of another user's process to nobody without
// CAP_SYS_PTRACE; the frontend gets these few numbers of whoever connected to it, and no more (frontend/whereabouts.c++).
#include "bpf/caller.h"
#include "bpf/kernel.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("iter/task")
int dump_caller(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (!task || task->pid != task->tgid) return 0;  // the end, or another thread of it
  struct CallerRecord r = {
      .cgroup = task->cgroups->dfl_cgrp->kn->id,
      .userNamespace = task->cred->user_ns->ns.inum,
      .networkNamespace = task->nsproxy->net_ns->ns.inum,
  };
  bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
  return 0;
}
