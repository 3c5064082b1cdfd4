//! Programs of many types as Aya makes them. Each counts in element 0 of PACKETS; with the feature `old_maps` that map is defined in the way
//! that says nothing of its types.
#![no_std]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{
    btf_tracepoint, cgroup_skb, cgroup_sock_addr, cgroup_sysctl, classifier, kprobe, perf_event, raw_tracepoint, sk_lookup, sock_ops,
    tracepoint, uprobe, xdp,
};
use aya_ebpf::programs::{
    BtfTracePointContext, PerfEventContext, ProbeContext, RawTracePointContext, SkBuffContext, SkLookupContext, SockAddrContext,
    SockOpsContext, SysctlContext, TcContext, TracePointContext, XdpContext,
};

#[cfg(not(feature = "old_maps"))]
#[aya_ebpf::macros::btf_map]
static PACKETS: aya_ebpf::btf_maps::Array<u64, 1> = aya_ebpf::btf_maps::Array::new();

#[cfg(feature = "old_maps")]
#[aya_ebpf::macros::map]
static PACKETS: aya_ebpf::maps::Array<u64> = aya_ebpf::maps::Array::with_max_entries(1, 0);

fn count() {
    if let Some(packets) = PACKETS.get_ptr_mut(0) {
        unsafe { *packets += 1 }
    }
}

#[xdp]
pub fn aya_xdp(_: XdpContext) -> u32 {
    count();
    xdp_action::XDP_PASS
}

#[classifier]
pub fn aya_tc(_: TcContext) -> i32 {
    count();
    0
}

#[tracepoint]
pub fn aya_tracepoint(_: TracePointContext) -> u32 {
    count();
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn aya_raw_tp(_: RawTracePointContext) -> i32 {
    count();
    0
}

#[btf_tracepoint]
pub fn aya_tp_btf(_: BtfTracePointContext) -> i32 {
    count();
    0
}

#[perf_event]
pub fn aya_perf_event(_: PerfEventContext) -> u32 {
    count();
    0
}

#[uprobe]
pub fn aya_uprobe(_: ProbeContext) -> u32 {
    count();
    0
}

#[kprobe]
pub fn aya_kprobe(_: ProbeContext) -> u32 {
    count();
    0
}

#[cgroup_skb]
pub fn aya_cgroup_skb(_: SkBuffContext) -> i32 {
    count();
    1
}

#[cgroup_sock_addr(connect4)]
pub fn aya_connect4(_: SockAddrContext) -> i32 {
    count();
    1
}

#[cgroup_sysctl]
pub fn aya_sysctl(_: SysctlContext) -> i32 {
    count();
    1
}

#[sock_ops]
pub fn aya_sockops(_: SockOpsContext) -> u32 {
    count();
    1
}

#[sk_lookup]
pub fn aya_sk_lookup(_: SkLookupContext) -> u32 {
    count();
    1
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
