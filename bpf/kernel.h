// The kernel's structs, as much as our iterators read of them. Sizes and offsets are the running kernel's: libbpf relocates every
// access by name (CO-RE), so the order and the gaps here mean nothing. A suffix ___x names another version's layout of the struct.
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

// clang-format off
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct bpf_iter__bpf_prog {
  struct bpf_iter_meta* meta;
  struct bpf_prog* prog;
};
struct bpf_iter__bpf_map {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
};
struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  void *key, *value;
};
struct bpf_iter__bpf_link {
  struct bpf_iter_meta* meta;
  struct bpf_link* link;
};

typedef struct {
  __u32 val;
} kuid_t;
struct user_struct {
  kuid_t uid;
};
struct btf {
  __u32 id;
};
struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net* net;
} possible_net_t;
struct net_device {
  int ifindex;
  possible_net_t nd_net;
};

typedef struct {
  __u64 v;
} u64_stats_t;
struct bpf_prog_stats {
  u64_stats_t cnt, nsecs, misses;
};
struct bpf_prog_offload {
  struct net_device* netdev;
};
struct bpf_prog {
  __u16 pages;
  __u16 jited : 1, gpl_compatible : 1, sleepable : 1;
  enum bpf_prog_type type;
  enum bpf_attach_type expected_attach_type;
  __u32 len, jited_len;
  __u8 tag[8];
  struct bpf_prog_stats* stats;
  struct bpf_prog_aux* aux;
};
struct bpf_prog_aux {
  __u32 id, used_map_cnt, func_cnt, attach_btf_id, verified_insns;
  struct bpf_prog* dst_prog;
  const char* attach_func_name;
  struct bpf_prog** func;
  struct bpf_map** used_maps;
  struct user_struct* user;
  __u64 load_time;
  char name[16];
  struct bpf_prog_offload* offload;
  struct btf* btf;
  struct {
    __s64 counter;
  } refcnt;
};
struct bpf_prog_aux___6_1 {
  bool sleepable;
};

struct bpf_map {
  enum bpf_map_type map_type;
  __u32 key_size, value_size, max_entries, map_flags, id;
  __u64 map_extra;
  struct btf* btf;
  char name[16];
  bool frozen;
};
struct bpf_array {
  struct bpf_map map;
  __u32 elem_size;
  void* pptrs[1];
};
struct bpf_htab {
  struct bpf_map map;
  __u32 n_buckets, elem_size;
};
struct bucket {
  void* head;
};

// Links. attach_type moved from the several kinds into bpf_link in 6.17.
struct bpf_link {
  __u32 id;
  enum bpf_link_type type;
  struct bpf_prog* prog;
};
struct bpf_link___6_17 {
  enum bpf_attach_type attach_type;
};
struct bpf_tracing_link___6_1 {
  enum bpf_attach_type attach_type;
};
struct bpf_cgroup_link___6_1 {
  enum bpf_attach_type type;
};
struct bpf_netns_link___6_1 {
  enum bpf_attach_type type;
};
struct tcx_link___6_6 {
  __u32 location;
};
struct netkit_link___6_7 {
  __u32 location;
};
struct sockmap_link___6_10 {
  enum bpf_attach_type attach_type;
};

struct bpf_trampoline {
  __u64 key;
};
struct bpf_tramp_link {
  struct bpf_link link;
};
struct bpf_tracing_link {
  struct bpf_tramp_link link;
  struct bpf_trampoline* trampoline;
  struct bpf_prog* tgt_prog;
};
struct bpf_xdp_link {
  struct bpf_link link;
  struct net_device* dev;
};
struct tcx_link {
  struct bpf_link link;
  struct net_device* dev;
};
struct netkit_link {
  struct bpf_link link;
  struct net_device* dev;
};
struct bpf_netns_link {
  struct bpf_link link;
  struct net* net;
};
struct nf_hook_ops {
  __u8 pf;
  unsigned int hooknum;
  int priority;
};
struct bpf_nf_link {
  struct bpf_link link;
  struct nf_hook_ops hook_ops;
  struct net* net;
};
struct kernfs_node {
  __u64 id;
};
struct cgroup {
  struct kernfs_node* kn;
};
struct css_set {
  struct cgroup* dfl_cgrp;
};
struct user_namespace {
  struct ns_common ns;
};
struct cred {
  struct user_namespace* user_ns;
};
struct nsproxy {
  struct net* net_ns;
};
struct task_struct {
  int pid, tgid;
  const struct cred* cred;
  struct nsproxy* nsproxy;
  struct css_set* cgroups;
};
struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};
struct bpf_cgroup_link {
  struct bpf_link link;
  struct cgroup* cgroup;
};
struct tracepoint {
  const char* name;
};
struct bpf_raw_event_map {
  struct tracepoint* tp;
};
struct bpf_raw_tp_link {
  struct bpf_link link;
  struct bpf_raw_event_map* btp;
};
struct bpf_iter_reg {
  const char* target;
};
struct bpf_iter_target_info {
  const struct bpf_iter_reg* reg_info;
};
struct bpf_iter_aux_info {
  struct bpf_map* map;
};
struct bpf_iter_link {
  struct bpf_link link;
  struct bpf_iter_aux_info aux;
  struct bpf_iter_target_info* tinfo;
};
struct bpf_struct_ops_link {
  struct bpf_link link;
  struct bpf_map* map;
};
struct sockmap_link {
  struct bpf_link link;
  struct bpf_map* map;
};
struct bpf_kprobe_multi_link {
  struct bpf_link link;
  __u32 cnt;
};
struct qstr {
  const unsigned char* name;
};
struct dentry {
  struct qstr d_name;
};
struct path {
  struct dentry* dentry;
};
struct bpf_uprobe_multi_link {
  struct path path;
  struct bpf_link link;
  __u32 cnt;
};

// Perf events: link -> file -> event -> trace event; a probe's trace event lies inside the probe.
struct list_head {
  struct list_head* next;
};
struct trace_event_class {
  const char* system;
};
struct trace_event_call {
  struct trace_event_class* class;
  union {
    char* name;
    struct tracepoint* tp;
  };
};
struct perf_event {
  struct trace_event_call* tp_event;
};
struct file {
  void* private_data;
};
struct bpf_perf_link {
  struct bpf_link link;
  struct file* perf_file;
};
struct trace_probe_event {
  struct trace_event_call call;
  struct list_head probes;
};
struct trace_probe {
  struct list_head list;
};
struct uprobe_consumer {
  void* ret_handler;
};
struct trace_uprobe {
  struct uprobe_consumer consumer;
  char* filename;
  unsigned long offset;
  struct trace_probe tp;
};

#pragma clang attribute pop
