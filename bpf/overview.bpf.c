// Iterators over all programs, maps and links of the machine: one binary record each (records.h). Loading them needs CAP_BPF and
// CAP_PERFMON, reading them a descriptor only. They read, and change nothing. What is behind the pointer that the kernel hands over
// is read directly where the verifier knows its type, else by bpf_probe_read_kernel, which gives zeros for what is gone.
#include "bpf/kernel.h"
#include "bpf/records.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

#define MAX_CPUS 512
#define MAX_FUNCTIONS 256
#define PAGE 4096UL
// clang-format off
#define HEAD(kind_, size_) \
  { .size = (size_), .kind = (kind_), .version = OVERVIEW_VERSION }
// The struct that the link is a member of.
#define OUTER(pointer, outer) ((struct outer*)((unsigned long)(pointer)-bpf_core_field_offset(struct outer, link)))
// clang-format on
#define WRITE(ctx, data, size) bpf_seq_write((ctx)->meta->seq, (data), (size))

// Each CPU's distance from a per-CPU address to its own copy, kept once found. The verifier refuses to address a program's statistics,
// which have no mark of being per-CPU in the kernel's BTF, and kernels without all symbols name no per-CPU variable; yet the distance
// is the same for all, and this map shows it: the addresses of its one element on each CPU, less the address that they come from.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} distances SEC(".maps");

// A pointer as a number, which the verifier would not let us reckon with: read back from the stack.
static __always_inline unsigned long number(const void* pointer) {
  unsigned long address = 0;
  bpf_probe_read_kernel(&address, sizeof(address), &pointer);
  return address;
}

static __u64* distanceOf(__u32 cpu) {
  __u32 zero = 0;
  __u64* distance = bpf_map_lookup_percpu_elem(&distances, &zero, cpu);
  if (distance && !*distance) *distance = number(distance) - (unsigned long)BPF_CORE_READ((struct bpf_array*)number(&distances), pptrs[0]);
  return distance;
}

struct Counters {
  __u64 cnt, nsecs, misses;
};  // as bpf_prog_stats has them, side by side
struct Statistics {
  unsigned long counters;
  struct Counters sum;
  __u32 cpus, failed;
};

static long addCpu(__u32 cpu, void* context) {
  struct Statistics* all = context;
  struct Counters one;
  __u64* distance = distanceOf(cpu);
  if (!distance) return 1;
  if (bpf_probe_read_kernel(&one, sizeof(one), (void*)(all->counters + *distance))) {
    all->failed = 1;
    return 1;
  }
  all->sum.cnt += one.cnt;
  all->sum.nsecs += one.nsecs;
  all->sum.misses += one.misses;
  all->cpus++;
  return 0;
}

static void readStatistics(struct ProgramRecord* r, struct bpf_prog* program) {
  unsigned long cnt = bpf_core_field_offset(struct bpf_prog_stats, cnt);
  struct Statistics all = {.counters = number(program->stats) + cnt};
  if (all.counters == cnt || bpf_core_field_offset(struct bpf_prog_stats, nsecs) != cnt + 8 ||
      bpf_core_field_offset(struct bpf_prog_stats, misses) != cnt + 16)
    return;
  bpf_loop(MAX_CPUS + 1, addCpu, &all, 0);
  if (!all.cpus || all.cpus > MAX_CPUS || all.failed) return;
  r->flags |= PROGRAM_STATISTICS;
  r->runTime = all.sum.nsecs;
  r->runCount = all.sum.cnt;
  r->misses = all.sum.misses;
}

static long countCpu(__u32 cpu, void* context) {
  if (!distanceOf(cpu)) return 1;
  *(__u32*)context += 1;
  return 0;
}

static __u32 possibleCpus(void) {
  __u32 cpus = 0;
  bpf_loop(MAX_CPUS, countCpu, &cpus, 0);
  return cpus;
}

struct Jited {
  struct bpf_prog** functions;
  __u32 size;
};

static long addFunction(__u32 i, void* context) {
  struct Jited* sum = context;
  struct bpf_prog* function = 0;
  bpf_probe_read_kernel(&function, sizeof(function), sum->functions + i);
  sum->size += BPF_CORE_READ(function, jited_len);
  return 0;
}

static void writeMapIds(struct bpf_iter__bpf_prog* ctx, struct bpf_map** maps, __u32 count) {
  for (__u32 i = 0; i < OVERVIEW_MAP_IDS && i < count; i += 2) {
    struct bpf_map *first = 0, *second = 0;
    __u32 ids[2] = {0, 0};
    bpf_probe_read_kernel(&first, sizeof(first), maps + i);
    ids[0] = BPF_CORE_READ(first, id);
    if (i + 1 < count) {
      bpf_probe_read_kernel(&second, sizeof(second), maps + i + 1);
      ids[1] = BPF_CORE_READ(second, id);
    }
    WRITE(ctx, ids, sizeof(ids));
  }
}

SEC("iter/bpf_prog") int dump_programs(struct bpf_iter__bpf_prog* ctx) {
  struct bpf_prog* program = ctx->prog;
  if (!program) return 0;
  struct bpf_prog_aux* aux = program->aux;
  __u32 maps = aux->used_map_cnt, functions = aux->func_cnt;
  __u32 listed = maps < OVERVIEW_MAP_IDS ? maps : OVERVIEW_MAP_IDS;

  struct ProgramRecord r = {
      .record = HEAD(RECORD_PROGRAM, sizeof(r) + ((listed + 1) & ~1U) * 4),
      .id = aux->id,
      .type = program->type,
      .expectedAttachType = program->expected_attach_type,
      .uid = BPF_CORE_READ(aux, user, uid.val),
      .btfId = BPF_CORE_READ(aux, btf, id),
      .attachBtfId = aux->attach_btf_id,
      .linkedProgramId = BPF_CORE_READ(aux, dst_prog, aux, id),
      .ifindex = BPF_CORE_READ(aux, offload, netdev, ifindex),
      .xlatedSize = program->len * 8,
      .jitedSize = program->jited_len,
      .verifiedInstructions = aux->verified_insns,
      .loadTime = aux->load_time,
      .memlock = program->pages * PAGE,
      .references = aux->refcnt.counter - 1,
      .mapCount = maps,
      .mapsListed = listed,
  };
  __builtin_memcpy(r.tag, program->tag, sizeof(r.tag));
  __builtin_memcpy(r.name, aux->name, sizeof(r.name));
  // Probed: where the bits' word begins with another member (Linux 7.2), the verifier refuses to read it as a whole.
  if (BPF_CORE_READ_BITFIELD_PROBED(program, gpl_compatible)) r.flags |= PROGRAM_GPL;
  if (BPF_CORE_READ_BITFIELD_PROBED(program, jited)) r.flags |= PROGRAM_JITED;
  if (bpf_core_field_exists(program->sleepable)) {
    if (BPF_CORE_READ_BITFIELD_PROBED(program, sleepable)) r.flags |= PROGRAM_SLEEPABLE;
  } else if (bpf_core_field_exists(struct bpf_prog_aux___6_1, sleepable)) {
    if (BPF_CORE_READ((struct bpf_prog_aux___6_1*)aux, sleepable)) r.flags |= PROGRAM_SLEEPABLE;
  }

  if (functions && functions <= MAX_FUNCTIONS) {
    struct Jited sum = {.functions = aux->func};
    bpf_loop(functions, addFunction, &sum, 0);
    r.jitedSize = sum.size;
  }
  readStatistics(&r, program);
  WRITE(ctx, &r, sizeof(r));
  writeMapIds(ctx, aux->used_maps, maps);
  return 0;
}

// The kernel reckons a map's memory when asked and keeps no number, so this repeats its sums (6.4 and later) for the types that are
// one array of values, or a preallocated hash table.
static __u64 arrayBytes(struct bpf_map* map) {
  __u64 size = bpf_core_type_size(struct bpf_array), entries = map->max_entries;
  __u64 element = BPF_CORE_READ((struct bpf_array*)map, elem_size);
  if (map->map_type == BPF_MAP_TYPE_PERCPU_ARRAY) return size + entries * sizeof(void*) + entries * element * possibleCpus();
  if (!(map->map_flags & BPF_F_MMAPABLE)) return size + entries * element;
  return ((size + PAGE - 1) & ~(PAGE - 1)) + ((entries * element + PAGE - 1) & ~(PAGE - 1));
}

static __u64 hashBytes(struct bpf_map* map) {
  struct bpf_htab* table = (struct bpf_htab*)map;
  if (map->map_flags & BPF_F_NO_PREALLOC) return 0;
  bool perCpu = map->map_type == BPF_MAP_TYPE_PERCPU_HASH || map->map_type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  bool lru = map->map_type == BPF_MAP_TYPE_LRU_HASH || map->map_type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
  __u64 cpus = possibleCpus(), entries = map->max_entries + (perCpu || lru ? 0 : cpus);
  __u64 bytes = bpf_core_type_size(struct bpf_htab) + bpf_core_type_size(struct bucket) * BPF_CORE_READ(table, n_buckets) +
                BPF_CORE_READ(table, elem_size) * entries;
  bytes += 4 * 8 * cpus;  // locks, which the kernel still counts where it no longer has them
  if (perCpu) return bytes + ((map->value_size + 7UL) & ~7UL) * cpus * entries;
  return lru ? bytes : bytes + sizeof(void*) * cpus;
}

static __u64 mapBytes(struct bpf_map* map) {
  switch (map->map_type) {
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_PROG_ARRAY:
    case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
    case BPF_MAP_TYPE_CGROUP_ARRAY:
    case BPF_MAP_TYPE_ARRAY_OF_MAPS: return arrayBytes(map);
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH: return hashBytes(map);
    default: return 0;
  }
}

// The map's value lies where the addresses of a per-CPU array's values would.
SEC("iter/bpf_prog") int dump_dispatchers(struct bpf_iter__bpf_prog* ctx) {
  struct bpf_prog* program = ctx->prog;
  if (!program || program->type != BPF_PROG_TYPE_XDP || program->aux->used_map_cnt != 1) return 0;
  const char name[] = "xdp_dispatcher";
  for (unsigned i = 0; i < sizeof(name); i++)
    if (program->aux->name[i] != name[i]) return 0;
  struct bpf_map* map = 0;
  bpf_probe_read_kernel(&map, sizeof(map), program->aux->used_maps);
  if (BPF_CORE_READ(map, map_type) != BPF_MAP_TYPE_ARRAY || !(BPF_CORE_READ(map, map_flags) & BPF_F_RDONLY_PROG)) return 0;
  struct DispatcherRecord r = {
      .record = HEAD(RECORD_DISPATCHER, sizeof(r)), .id = program->aux->id, .configSize = BPF_CORE_READ(map, value_size)};
  __u32 size = r.configSize < OVERVIEW_CONFIG ? r.configSize : OVERVIEW_CONFIG;
  bpf_probe_read_kernel(r.config, size, (void*)(number(map) + bpf_core_field_offset(struct bpf_array, pptrs)));
  WRITE(ctx, &r, sizeof(r));
  return 0;
}

SEC("iter/bpf_map") int dump_maps(struct bpf_iter__bpf_map* ctx) {
  struct bpf_map* map = ctx->map;
  if (!map) return 0;
  struct MapRecord r = {
      .record = HEAD(RECORD_MAP, sizeof(r)),
      .id = map->id,
      .type = map->map_type,
      .keySize = map->key_size,
      .valueSize = map->value_size,
      .maxEntries = map->max_entries,
      .flags = map->map_flags,
      .btfId = BPF_CORE_READ(map, btf, id),
      .state = map->frozen ? MAP_FROZEN : 0,
      .extra = map->map_extra,
      .memlock = mapBytes(map),
  };
  __builtin_memcpy(r.name, map->name, sizeof(r.name));
  WRITE(ctx, &r, sizeof(r));
  return 0;
}

// Whether the text begins with these eight bytes: as one number, so that the literal needs no map of read-only data.
#define BEGINS(text, eight)           \
  ({                                  \
    __u64 a, b;                       \
    __builtin_memcpy(&a, (text), 8);  \
    __builtin_memcpy(&b, (eight), 8); \
    a == b;                           \
  })

static void setAttachType(struct LinkRecord* r, __u32 type) {
  r->attachType = type;
  r->flags |= LINK_ATTACH_TYPE;
}

static void setDevice(struct LinkRecord* r, struct net_device* device) {
  r->ifindex = BPF_CORE_READ(device, ifindex);
  r->netns = BPF_CORE_READ(device, nd_net.net, ns.inum);
}

// Where the link itself has no attach type: the field of its kind, in the kernels that have it there.
#define OWN_ATTACH_TYPE(r, pointer, outer, field) \
  if (bpf_core_field_exists(struct outer, field)) setAttachType(r, BPF_CORE_READ((struct outer*)(pointer), field))

static void describeTracing(struct LinkRecord* r, struct bpf_link* link) {
  struct bpf_tracing_link* outer = OUTER(link, bpf_tracing_link);
  OWN_ATTACH_TYPE(r, outer, bpf_tracing_link___6_1, attach_type);
  r->targetProgramId = BPF_CORE_READ(outer, tgt_prog, aux, id);
  __u64 key = BPF_CORE_READ(outer, trampoline, key);
  r->targetBtfId = key & 0x7fffffff;
  if (key & 0x80000000) r->targetBtfObject = key >> 32;
  bpf_probe_read_kernel_str(r->target, sizeof(r->target), BPF_CORE_READ(link, prog, aux, attach_func_name));
}

static void describeUprobe(struct LinkRecord* r, struct trace_event_call* call) {
  struct list_head* first = 0;
  unsigned long event = (unsigned long)call - bpf_core_field_offset(struct trace_probe_event, call);
  first = BPF_CORE_READ((struct trace_probe_event*)event, probes.next);
  unsigned long probe = (unsigned long)first - bpf_core_field_offset(struct trace_probe, list);
  struct trace_uprobe* uprobe = (void*)(probe - bpf_core_field_offset(struct trace_uprobe, tp));
  if (!first) return;
  bpf_probe_read_kernel_str(r->target, sizeof(r->target), BPF_CORE_READ(uprobe, filename));
  r->offset = BPF_CORE_READ(uprobe, offset);
  if (BPF_CORE_READ(uprobe, consumer.ret_handler)) r->flags |= LINK_RETURN;
}

// A tracepoint program runs at a tracepoint, whose trace event names it by its tracepoint, or at a system call, whose trace event
// has a name of its own: the two fields share their place, and the flag that tells them apart has another bit in each version.
static void describePerfEvent(struct LinkRecord* r, struct bpf_link* link) {
  struct perf_event* event = (struct perf_event*)BPF_CORE_READ(OUTER(link, bpf_perf_link), perf_file, private_data);
  struct trace_event_call* call = BPF_CORE_READ(event, tp_event);
  if (!call) return;
  bpf_probe_read_kernel_str(r->group, sizeof(r->group), BPF_CORE_READ(call, class, system));
  bool syscalls = BEGINS(r->group, "syscalls"), uprobes = BEGINS(r->group, "uprobes");
  if (r->programType == BPF_PROG_TYPE_KPROBE) r->flags |= LINK_PROBE;
  const char* name = r->programType == BPF_PROG_TYPE_TRACEPOINT && !syscalls ? BPF_CORE_READ(call, tp, name) : BPF_CORE_READ(call, name);
  if (uprobes && bpf_core_type_exists(struct trace_uprobe)) {
    describeUprobe(r, call);
  } else {
    bpf_probe_read_kernel_str(r->target, sizeof(r->target), name);
  }
}

static void describeNetfilter(struct LinkRecord* r, struct bpf_link* link) {
  struct bpf_nf_link* outer = OUTER(link, bpf_nf_link);
  r->netns = BPF_CORE_READ(outer, net, ns.inum);
  r->protocolFamily = BPF_CORE_READ(outer, hook_ops.pf);
  r->hook = BPF_CORE_READ(outer, hook_ops.hooknum);
  r->priority = BPF_CORE_READ(outer, hook_ops.priority);
}

static void describeUprobes(struct LinkRecord* r, struct bpf_link* link) {
  struct bpf_uprobe_multi_link* outer = OUTER(link, bpf_uprobe_multi_link);
  r->count = BPF_CORE_READ(outer, cnt);
  bpf_probe_read_kernel_str(r->target, sizeof(r->target), BPF_CORE_READ(outer, path.dentry, d_name.name));
}

static void describeIterator(struct LinkRecord* r, struct bpf_link* link) {
  struct bpf_iter_link* outer = OUTER(link, bpf_iter_link);
  const char* name = BPF_CORE_READ(outer, tinfo, reg_info, target);
  bpf_probe_read_kernel_str(r->target, sizeof(r->target), name);
  if ((BEGINS(r->target, "bpf_map_elem") && r->target[8] == 'e') || BEGINS(r->target, "bpf_sk_storage_map"))
    r->mapId = BPF_CORE_READ(outer, aux.map, id);
}

// clang-format off
// A row exists only where this kernel's BTF has the struct: what it doesn't know, it can't have made.
#define KIND(number, outer, ...) \
  if (r->type == (number) && bpf_core_type_exists(struct outer)) { __VA_ARGS__; return; }

static void describe(struct LinkRecord* r, struct bpf_link* link) {
  KIND(BPF_LINK_TYPE_XDP, bpf_xdp_link, setDevice(r, BPF_CORE_READ(OUTER(link, bpf_xdp_link), dev)))
  KIND(BPF_LINK_TYPE_TCX, tcx_link,
       OWN_ATTACH_TYPE(r, OUTER(link, tcx_link), tcx_link___6_6, location);
       setDevice(r, BPF_CORE_READ(OUTER(link, tcx_link), dev)))
  KIND(BPF_LINK_TYPE_NETKIT, netkit_link,
       OWN_ATTACH_TYPE(r, OUTER(link, netkit_link), netkit_link___6_7, location);
       setDevice(r, BPF_CORE_READ(OUTER(link, netkit_link), dev)))
  KIND(BPF_LINK_TYPE_CGROUP, bpf_cgroup_link,
       OWN_ATTACH_TYPE(r, OUTER(link, bpf_cgroup_link), bpf_cgroup_link___6_1, type);
       r->cgroupId = BPF_CORE_READ(OUTER(link, bpf_cgroup_link), cgroup, kn, id))
  KIND(BPF_LINK_TYPE_NETNS, bpf_netns_link,
       OWN_ATTACH_TYPE(r, OUTER(link, bpf_netns_link), bpf_netns_link___6_1, type);
       r->netns = BPF_CORE_READ(OUTER(link, bpf_netns_link), net, ns.inum))
  KIND(BPF_LINK_TYPE_PERF_EVENT, bpf_perf_link, describePerfEvent(r, link))
  KIND(BPF_LINK_TYPE_RAW_TRACEPOINT, bpf_raw_tp_link,
       bpf_probe_read_kernel_str(r->target, sizeof(r->target), BPF_CORE_READ(OUTER(link, bpf_raw_tp_link), btp, tp, name)))
  KIND(BPF_LINK_TYPE_TRACING, bpf_tracing_link, describeTracing(r, link))
  KIND(BPF_LINK_TYPE_ITER, bpf_iter_link, describeIterator(r, link))
  KIND(BPF_LINK_TYPE_STRUCT_OPS, bpf_struct_ops_link,
       r->mapId = BPF_CORE_READ(OUTER(link, bpf_struct_ops_link), map, id);
       BPF_CORE_READ_STR_INTO(&r->target, OUTER(link, bpf_struct_ops_link), map, name))
  KIND(BPF_LINK_TYPE_NETFILTER, bpf_nf_link, describeNetfilter(r, link))
  KIND(BPF_LINK_TYPE_KPROBE_MULTI, bpf_kprobe_multi_link, r->count = BPF_CORE_READ(OUTER(link, bpf_kprobe_multi_link), cnt))
  KIND(BPF_LINK_TYPE_UPROBE_MULTI, bpf_uprobe_multi_link, describeUprobes(r, link))
  KIND(BPF_LINK_TYPE_SOCKMAP, sockmap_link,
       OWN_ATTACH_TYPE(r, OUTER(link, sockmap_link), sockmap_link___6_10, attach_type);
       r->mapId = BPF_CORE_READ(OUTER(link, sockmap_link), map, id))
}

// clang-format on

SEC("iter/bpf_link") int dump_links(struct bpf_iter__bpf_link* ctx) {
  struct bpf_link* link = ctx->link;
  if (!link) return 0;
  struct LinkRecord r = {
      .record = HEAD(RECORD_LINK, sizeof(r)),
      .id = link->id,
      .type = link->type,
      .programId = BPF_CORE_READ(link, prog, aux, id),
      .programType = BPF_CORE_READ(link, prog, type),
  };
  OWN_ATTACH_TYPE(&r, link, bpf_link___6_17, attach_type);
  describe(&r, (struct bpf_link*)number(link));
  WRITE(ctx, &r, sizeof(r));
  return 0;
}
