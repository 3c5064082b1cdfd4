"""Objects that others wrote: loaded and attached through bpfman, seen by the kernel's own tools, where it is cheap seen to run; and those
that are refused, with an error that says what to do. Where they come from: tests/foreign_sources.py. Nothing of theirs is in this repository."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import aya_build
import foreign_sources as sources
import harness
import network

KPROBES = os.path.exists("/sys/bus/event_source/devices/kprobe")
SHOULD_GO = shutil.which("go")      # Debian's packages are to be had wherever this is built; Go need not be installed

XDP = ("xdp", "lan0", "-p", 10)
TP, BTF, CGROUP = ("tracepoint", None), ("tp_btf",), ("cgroup", "CGROUP")   # None: the tracepoint is in the program's section
CLOCK = ("perf_event", "cpu-clock", "--frequency", 100, "--cpu", 0)
LIBXDP, TOOLS = "usr/lib/*/bpf/", "usr/sbin/"

# source: {file: (programs, map that has something in it when they ran, what makes them run)}; each program: (type, function, how it is attached)
XDP_TOOLS = {f"{LIBXDP}xdpfilt_{mode}_{what}.o": ([("xdp", f"xdpfilt_{mode}_{what}", XDP)], "xdp_stats_map", "packets")
             for mode in ("alw", "dny") for what in ("all", "eth", "ip", "tcp", "udp")}
XDP_TOOLS |= {
    LIBXDP + "xsk_def_xdp_prog.o": ([("xdp", "xsk_def_prog", XDP)], None, None),
    LIBXDP + "xsk_def_xdp_prog_5.3.o": ([("xdp", "xsk_def_prog", XDP)], None, None),
    LIBXDP + "xdpdump_xdp.o": ([("xdp", "xdpdump", XDP)], None, None),
    LIBXDP + "xdp-dispatcher.o": ([("xdp", "xdp_pass", XDP)], None, None),
}


def tracepoints(group, *names, prefix="", suffix=""):
    return [("tracepoint", prefix + name + suffix, ("tracepoint", f"{group}/{name}")) for name in names]


BPF_TOOLS = {
    "biolatency": ([("tp_btf", f"block_rq_{what}_btf", BTF) for what in ("insert", "issue", "complete")], None, None),
    "biopattern": (tracepoints("block", "block_rq_complete", prefix="handle__"), None, None),
    "bitesize": ([("tp_btf", "block_rq_issue", BTF)], None, None),
    "bashreadline": ([("uretprobe", "printret", ("uprobe", "/bin/bash", "-f", "readline"))], None, None),
    "cpufreq": ([("perf_event", "do_sample", CLOCK)], None, None),
    "execsnoop": (tracepoints("syscalls", "sys_enter_execve", "sys_exit_execve", prefix="tracepoint__syscalls__"), None, None),
    "exitsnoop": (tracepoints("sched", "sched_process_exit"), None, None),
    "hardirqs": ([("tp_btf", f"irq_handler_{what}_btf", BTF) for what in ("entry", "exit")], None, None),
    "llcstat": ([("perf_event", f"on_cache_{what}", CLOCK) for what in ("miss", "ref")], "infos", "burn"),
    "mountsnoop": ([("tracepoint", f"{call}_{what}", ("tracepoint", f"syscalls/sys_{when}_{call}")) for call in ("mount", "umount")
                    for when, what in (("enter", "entry"), ("exit", "exit"))], None, None),
    "opensnoop": (tracepoints("syscalls", "sys_enter_openat", "sys_exit_openat", prefix="tracepoint__syscalls__"), None, None),
    "runqlat": ([("tp_btf", name, BTF) for name in ("sched_wakeup", "sched_wakeup_new", "sched_switch")], "hists", "sleep"),
    "runqslower": ([("raw_tp", "handle_" + name, ("raw_tp",)) for name in ("sched_wakeup", "sched_wakeup_new", "sched_switch")], None, None),
    "sigsnoop": ([("tracepoint", "sig_trace", ("tracepoint", "signal/signal_generate"))], None, None),
    "softirqs": ([("tp_btf", f"softirq_{what}_btf", BTF) for what in ("entry", "exit")], ".bss", "packets"),
    "statsnoop": ([("tracepoint", f"handle_statx_{what}", ("tracepoint", f"syscalls/sys_{when}_statx"))
                   for when, what in (("enter", "entry"), ("exit", "return"))], None, None),
    "syscount": (tracepoints("raw_syscalls", "sys_enter", "sys_exit"), "data", "sleep"),
    "tcplife": (tracepoints("sock", "inet_sock_set_state"), None, None),
    "tcpstates": ([("tracepoint", "handle_set_state", ("tracepoint", "sock/inet_sock_set_state"))], "timestamps", "connection"),
}

CILIUM = {
    "examples/xdp/bpf_bpfel.o": ([("xdp", "xdp_prog_func", XDP)], "xdp_stats_map", "packets"),
    "examples/xdp_live_frame/bpf_bpfel.o": ([("xdp", "xdp_prog_pass", XDP)], None, None),
    "docs/examples/getting_started/counter_bpfel.o": ([("xdp", "count_packets", XDP)], "pkt_count", "packets"),
    "testdata/strings-el.elf": ([("xdp", "filter", XDP)], None, None),
    "testdata/fentry_fexit-el.elf": ([("tc", "target", ("tc", "lan0", "ingress", "-p", 10))], None, None),
    "testdata/raw_tracepoint-el.elf": ([("raw_tp", "sched_process_exec", ("raw_tp",))], None, None),
    "examples/cgroup_skb/bpf_bpfel.o": ([("cgroup_skb", "count_egress_packets", CGROUP)], "pkt_count", "inside"),
    "examples/tcprtt_sockops/bpf_bpfel.o": ([("sockops", "bpf_sockops_cb", CGROUP)], None, None),
    "examples/tracepoint_in_c/bpf_bpfel.o": (tracepoints("kmem", "mm_page_alloc"), "counting_map", "sleep"),
    "examples/uretprobe/bpf_x86_bpfel.o": ([("uretprobe", "uretprobe_bash_readline", ("uprobe", "/bin/bash", "-f", "readline"))], None, None),
    "examples/tcx/bpf_bpfel.o": ([("tcx", f"{way}_prog_func", ("tcx", "lan0", way, "-p", 10)) for way in ("ingress", "egress")], ".bss", "packets"),
}
KPROBED = {  # attached where the kernel has kprobes, else an error that names CONFIG_KPROBES
    f"examples/{name}/bpf_bpfel.o": ([("kprobe", "kprobe_execve", ("kprobe", "__x64_sys_execve"))], None, None)
    for name in ("kprobe", "kprobe_percpu", "kprobepin", "ringbuffer")}

TRIXIE = {"usr/sbin/xdp-forward": ([("xdp", "xdp_fwd_fib_full", XDP)], None, None)}
SYSTEMD = {"usr/lib/systemd/systemd-networkd": ([("cgroup_sysctl", "sysctl_monitor", CGROUP)], None, None)}

# tests/aya: one object, each program for itself and some together.
AYA = [
    ([("xdp", "aya_xdp", XDP)], "PACKETS", "packets"),
    ([("tc", "aya_tc", ("tc", "lan0", "ingress", "-p", 10))], "PACKETS", "packets"),
    ([("tcx", "aya_tc", ("tcx", "lan0", "ingress", "-p", 10))], "PACKETS", "packets"),
    ([("tracepoint", "aya_tracepoint", ("tracepoint", "sched/sched_switch"))], "PACKETS", "sleep"),
    ([("raw_tp", "aya_raw_tp", ("raw_tp",))], "PACKETS", "sleep"),
    ([("tp_btf", "aya_tp_btf:sched_switch", BTF)], "PACKETS", "sleep"),
    ([("perf_event", "aya_perf_event", CLOCK)], "PACKETS", "burn"),
    ([("uprobe", "aya_uprobe", ("uprobe", "/bin/bash", "-f", "readline"))], None, None),
    ([("cgroup_skb", "aya_cgroup_skb", CGROUP)], "PACKETS", "inside"),
    ([("cgroup_connect4", "aya_connect4", CGROUP), ("sockops", "aya_sockops", CGROUP), ("cgroup_sysctl", "aya_sysctl", CGROUP)], None, None),
    ([("sk_lookup", "aya_sk_lookup", ("sk_lookup",))], None, None),
]

# Examples of ours, by other compilers.
OURS = [
    ("xdp_counter", [("xdp", "xdp_counter", XDP)], "packets", "packets"),
    ("tcx_counter", [("tcx", "tcx_counter", ("tcx", "lan0", "ingress", "-p", 10))], None, None),
    ("tracepoint_counter", [("tracepoint", "tracepoint_counter", ("tracepoint", "syscalls/sys_enter_kill"))], None, None),
    ("raw_tp_counter", [("raw_tp", "raw_tp_counter", ("raw_tp",))], None, None),
    ("tp_btf_counter", [("tp_btf", "tp_btf_counter", BTF)], None, None),
    ("cgroup_counter", [("cgroup_skb", "cgroup_counter", CGROUP)], None, None),
]
NOT_BY_GCC = ["tp_btf_counter", "tracepoint_counter", "cgroup_counter"]   # 12 has no preserve_access_index, and calls some helpers indirectly
PLAIN = """
__attribute__((section("xdp"), used)) int plain(void* packet) { return 2; }
__attribute__((section("license"), used)) char LICENSE[] = "GPL";
"""

# (source, file, function, type as it is asked for, what the error says)
REFUSED = [
    ("bookworm/ir-keytable", "**/grundig.o", "bpf_decoder", "lirc_mode2", 'unknown program type "lirc_mode2"'),
    ("trixie/ir-keytable", "**/grundig.o", "bpf_decoder", "raw_tp", 'SEC(".maps")'),
    ("bookworm/libbpf-tools", TOOLS + "cpudist", "sched_switch_btf", "tp_btf", "recompile it with max_entries"),
    ("bookworm/libbpf-tools", TOOLS + "runqslower", "sched_switch", "xdp", "implies tp_btf"),
    ("bookworm/libxdp1", LIBXDP + "xdpdump_bpf.o", "trace_on_entry", "fentry", 'this kernel has no function "func"'),
    ("trixie/xdp-tools", TOOLS + "xdp-bench", "cpumap_redirect", "xdp", "implies attach type xdp_cpumap"),
    ("go", "testdata/subprog_reloc-el.elf", "fp_relocation", "xdp", 'SEC(".maps")'),
    ("go", "testdata/struct_ops-el.elf", "test_1", "struct_ops", 'this kernel takes no "bpf_testmod_ops.test_1"'),
    ("go", "testdata/constants-el.elf", "freeze_rodata", "sk_lookup", 'the kernel refused program "freeze_rodata"'),
    ("go", "testdata/invalid-kfunc-el.elf", "call_kfunc", "tc", "bpf_kfunc_call_test_mem_len_pass1"),
    ("go", "examples/xdp/bpf_bpfeb.o", "xdp_prog_func", "xdp", "compile with clang -target bpfel"),
    ("go", "examples/xdp/bpf_bpfel.o", "no_such", "xdp", "available programs: [xdp_prog_func]"),
]


def entries(map_):
    """Whether a map has anything but zeros."""
    def any_(value):
        if isinstance(value, dict):
            return any(any_(each) for key, each in value.items() if key not in ("key", "cpu"))
        if isinstance(value, list):
            return any(any_(each) for each in value)
        return value not in (0, "0x00", "", False, None)
    return any(any_(each.get("formatted", each)) for each in harness.bpftool("map", "dump", "id", map_))


class ForeignObjects(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        os.chmod(self.directory, 0o755)

    def require(self, source):
        why = sources.missing(source)
        if why and source == "go" and not SHOULD_GO:
            self.skipTest(why)
        if why:
            harness.skip(self, f"{source}: {why}")

    def surroundings(self):
        if hasattr(self, "wire"):
            return
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.cgroup = os.path.join(harness.cgroup2(), f"bpfman-foreign-{os.getpid()}-{id(self)}")
        os.mkdir(self.cgroup)
        self.addCleanup(os.rmdir, self.cgroup)

    # ---- what makes them run ----

    def packets(self):
        self.wire.send(10)

    def sleep(self):
        subprocess.run(["sleep", "0.01"], check=True)

    def burn(self):
        subprocess.run(["taskset", "-c", "0", sys.executable, "-c", "import time; e = time.time() + 0.3\nwhile time.time() < e: pass"], check=True)

    def connection(self):
        """Kept, as its end would be its trace's end too."""
        server = socket.create_server(("127.0.0.1", 0))
        for one in (server, socket.create_connection(server.getsockname()), server.accept()[0]):
            self.addCleanup(one.close)

    def inside(self):
        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w") as file:
                file.write("0")
        code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"
        subprocess.run([sys.executable, "-c", code], preexec_fn=enter, check=True)

    # ---- what the kernel says ----

    def assertAttached(self, program, type, link):
        if type == "xdp":
            self.assertInXdpChain(program)
        elif type == "tc":
            self.assertTrue([each for each in harness.bpftool("net", "show", "dev", "lan0")[0]["tc"]])
            self.assertIn(program, self.members())
        else:
            # Not the list of all, which ends at a link that another test is just making. Of one its exit code is 255 also when it shows it.
            shown = harness.run("bpftool", "-j", "link", "show", "id", link["kernel_link_id"], check=False).stdout
            self.assertEqual(json.loads(shown)["prog_id"], program)

    def members(self):
        """Programs in the slots of dispatchers, or in their place."""
        dispatchers = [each for each in self.daemon.kernelPrograms().values() if each["name"] in ("xdp_dispatcher", "tc_dispatcher")]
        slots = {id for each in dispatchers for id in each.get("map_ids", [])}
        maps = [each["id"] for each in harness.bpftool("map", "show") if each["id"] in slots and each["type"] == "prog_array"]
        inSlots = {int.from_bytes(bytes(int(byte, 16) for byte in entry["value"]), "little")
                   for each in maps for entry in harness.bpftool("map", "dump", "id", each) if isinstance(entry.get("value"), list)}
        return inSlots | {each["prog_id"] for each in harness.bpftool("link", "show")}

    def assertInXdpChain(self, program):
        self.assertTrue(harness.bpftool("net", "show", "dev", "lan0")[0]["xdp"])
        self.assertIn(program, self.members())

    # ---- one object ----

    def loaded(self, path, programs):
        wanted = ",".join(f"{type}:{function}" for type, function, _ in programs)
        answer = self.daemon.cli("program", "load", "file", path, "--programs", wanted, "-o", "json")
        self.assertEqual(answer.code, 0, answer)
        loaded = json.loads(answer.out)["programs"]
        return [each["record"]["program_id"] for each in loaded]

    def attached(self, program, words):
        place, *rest = [self.cgroup if word == "CGROUP" else word for word in words]
        if place == "cgroup" and self.direction:
            rest.append(self.direction)
        return self.daemon.attach(place, program, *rest)

    def runs(self, maps, fire):
        getattr(self, fire)()
        return any(entries(each) for each in maps)

    def one(self, source, name, programs, map_, fire):
        self.works(sources.object(source, name, programs[0][1], self.directory), programs, map_, fire)
        print(f"{source} {name}: {', '.join(type + ' ' + function for type, function, _ in programs)}{', ran' if fire else ''}", flush=True)

    def works(self, path, programs, map_=None, fire=None):
        ids = self.loaded(path, programs)
        self.direction = "egress" if programs[0][0] == "cgroup_skb" else None
        links = []
        for program, (type, _, words) in zip(ids, programs):
            link = self.attached(program, words)
            links.append(link)
            self.assertAttached(program, type, link)
        if fire:
            ofObject = [each for one in ids for each in self.daemon.json("program", "get", one)["status"]["maps"]]
            maps = {each["id"] for each in ofObject if each["name"] == map_[:15] or each["name"].endswith(map_)}
            self.assertTrue(maps, [each["name"] for each in ofObject])
            self.assertTrue(harness.eventually(lambda: self.runs(maps, fire)), f"{map_} stays empty")
        for link in links:
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        for program in ids:
            self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)

    def each(self, source, rows):
        self.require(source)
        self.surroundings()
        for name, (programs, map_, fire) in rows.items():
            with self.subTest(f"{source} {name}"):
                self.one(source, name, programs, map_, fire)
        self.assertEqual(self.daemon.settled(), [])

    # ---- Debian ----

    def testXdpToolsOfDebian12(self):
        self.each("bookworm/libxdp1", XDP_TOOLS)

    def testXdpToolsOfDebian13(self):
        self.each("trixie/libxdp1", XDP_TOOLS)
        self.each("trixie/xdp-tools", TRIXIE)

    def testLibbpfToolsOfDebian12(self):
        self.each("bookworm/libbpf-tools", {TOOLS + name: row for name, row in BPF_TOOLS.items()})

    def testLibbpfToolsOfDebian13(self):
        self.each("trixie/libbpf-tools", {TOOLS + name + "*": row for name, row in BPF_TOOLS.items()})

    def testSystemd(self):
        self.each("trixie/systemd", SYSTEMD)

    # ---- Go ----

    def testCiliumEbpf(self):
        self.each("go", CILIUM)

    def testThoseThatNeedKprobes(self):
        if KPROBES:
            return self.each("go", KPROBED)
        self.require("go")
        for name, (programs, _, _) in KPROBED.items():
            with self.subTest(name):
                path = sources.object("go", name, programs[0][1], self.directory)
                program, = self.loaded(path, programs)
                answer = self.daemon.cli("link", "attach", "kprobe", program, "__x64_sys_execve")
                self.assertEqual(answer.code, 1)
                self.assertIn("CONFIG_KPROBES", answer.err)

    # ---- compilers ----

    def compiled(self, compiler, source, types):
        """An object, or what the compiler says."""
        command, environment = self.compilers[compiler]
        flags = (["-gbtf"] if "gcc" in command[0] else ["-g"]) if types else []
        path = os.path.join(self.directory, f"{compiler}{len(os.listdir(self.directory))}.o")
        include = f"/usr/include/{os.uname().machine}-linux-gnu"
        result = harness.run(*command, "-O2", *flags, "-I/usr/include", "-I" + include, "-I" + harness.ROOT, "-c", source, "-o", path,
                             env=environment, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path

    def testWhatOtherCompilersMake(self):
        """With types and without; a map needs them, a program does not."""
        for name in sources.COMPILERS.get(sources.suite(), {}):
            self.require(name)
        self.compilers = sources.compilers()
        self.surroundings()
        plain = os.path.join(self.directory, "plain.c")
        with open(plain, "w") as file:
            file.write(PLAIN)
        for compiler in self.compilers:
            for name, programs, map_, fire in OURS:
                with self.subTest(f"{compiler} {name}"):
                    source = os.path.join(harness.ROOT, "examples", "bpf", name + ".bpf.c")
                    if compiler == "gcc-bpf" and name in NOT_BY_GCC:
                        continue
                    self.works(self.compiled(compiler, source, True), programs, map_, fire)
                    answer = self.daemon.cli("program", "load", "file", self.compiled(compiler, source, False),
                                             "--programs", ",".join(f"{type}:{function}" for type, function, _ in programs))
                    self.assertEqual(answer.code, 1, "without types")
                    self.assertIn("compile with clang -g", answer.err)
            for types in (True, False):
                with self.subTest(f"{compiler} plain, types: {types}"):
                    self.works(self.compiled(compiler, plain, types), [("xdp", "plain", XDP)])
        self.assertEqual(self.daemon.settled(), [])

    # ---- Rust ----

    def testAya(self):
        """Only where cargo and a rustc for BPF are to be had: they are not among what this project needs."""
        if sources.missing("aya"):
            self.skipTest(sources.missing("aya"))
        self.surroundings()
        path = sources.path("aya", "new.o")
        for programs, map_, fire in AYA:
            with self.subTest(programs[0][1]):
                self.works(path, programs, map_, fire)
        answer = self.daemon.cli("program", "load", "file", sources.path("aya", aya_build.OLD + ".o"), "--programs", "xdp:aya_xdp")
        self.assertIn("#[btf_map] in place of #[map]", answer.err)
        self.assertEqual(self.daemon.settled(), [])

    # ---- refused ----

    def testThoseThatAreRefusedSayWhy(self):
        for source, name, function, type, says in REFUSED:
            with self.subTest(f"{source} {name}"):
                self.require(source)
                path = sources.object(source, name, function, self.directory)
                answer = self.daemon.cli("program", "load", "file", path, "--programs", f"{type}:{function}")
                self.assertEqual(answer.code, 1, answer)
                self.assertIn(says, answer.err)
        self.assertEqual(self.daemon.programs(), [])
        self.assertEqual(self.daemon.settled(), [])


if __name__ == "__main__":
    if harness.ISOLATED not in os.environ and os.geteuid() == 0:
        sources.fetch([("aya", aya_build.build)])
    harness.main()
