"""Every kind of hook: loaded, attached, made to run, counted, detached, nothing left. Where this kernel lacks one the error must say what it
needs. What was seen is
printed: tools/hooks-matrix makes docs/hooks.md of it."""

import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import harness
import hooks
import network

# What a process in the cgroup does, so that each of its hooks runs: over IPv4, IPv6 and Unix sockets.
INSIDE = """
import os, socket, tempfile
path = tempfile.mktemp()
for family, here in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.socket(family, socket.SOCK_DGRAM) as a, socket.socket(family, socket.SOCK_DGRAM) as b:
        a.bind((here, 0))
        b.sendto(b"x", a.getsockname())
        a.recvfrom(16)
        b.connect(a.getsockname())
        b.getpeername()
        b.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        b.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
with socket.socket(socket.AF_INET) as a, socket.socket(socket.AF_INET) as b:
    a.bind(("127.0.0.1", 0))
    a.listen()
    b.connect(a.getsockname())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b:
    a.bind(path)
    a.getsockname()
    b.bind(path + "b")
    b.sendto(b"x", path)
    a.recvfrom(16)
    b.connect(path)
    b.getpeername()
os.unlink(path), os.unlink(path + "b")
open("/proc/sys/kernel/hostname").read()
open("/dev/null").close()
"""

BPF_MAP_UPDATE_ELEM, BPF_MAP_GET_FD_BY_ID = 2, 14


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = ctypes.CDLL(None, use_errno=True).syscall(321, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


KPROBES = os.path.exists("/sys/bus/event_source/devices/kprobe")
# This project's own machine: a kernel without kprobes that also refuses every program which needs a trampoline.
TRAMPOLINES = KPROBES


class EveryHook(hooks.Seen):
    def setUp(self):
        super().setUp()
        self.cgroup = os.path.join(harness.cgroup2(), f"bpfman-every-hook-{os.getpid()}")
        os.mkdir(self.cgroup)
        self.addCleanup(os.rmdir, self.cgroup)

    # ---- what makes them run ----

    def inside(self, link=None):
        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w") as file:
                file.write("0")
        subprocess.run([sys.executable, "-c", INSIDE], preexec_fn=enter, check=True)

    def udp(self, link=None):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", ("127.0.0.1", 9))

    def refusedConnection(self, link=None):
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", 1))

    def rawPacket(self, link=None):
        """AF_PACKET has each packet dissected that it sends."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as one:
            one.bind(("lo", 0x0800))
            one.send(bytes(12) + b"\x08\x00" + bytes.fromhex("4500001c000000004011") + bytes(2) + bytes([127, 0, 0, 1] * 2) + bytes(8))

    def getppid(self, link=None):
        self.libc.getppid()

    def packets(self, link=None):
        self.wire.send(10)

    def sleep(self, link=None):
        time.sleep(0.01)

    def openFile(self, link=None):
        open("/etc/passwd").close()

    def burn(self, link=None):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {0})
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
        os.sched_setaffinity(0, before)

    def runATest(self, link=None):
        program = self.daemon.load("tcx_counter", "tcx")
        with tempfile.NamedTemporaryFile() as packet:
            packet.write(bytes(64))
            packet.flush()
            harness.run("bpftool", "prog", "run", "id", str(program), "data_in", packet.name)

    def connectedPair(self, sockets):
        """A TCP connection one of whose ends is in the sockmap; what it receives and sends goes through the programs there."""
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        server.close()
        map_ = bpf(BPF_MAP_GET_FD_BY_ID, struct.pack("=I", sockets))
        key, value = ctypes.c_uint32(0), ctypes.c_uint32(client.fileno())
        bpf(BPF_MAP_UPDATE_ELEM, struct.pack("=IIQQQ", map_, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
        client.send(b"x")
        other.send(b"y")
        client.settimeout(10)
        client.recv(1)
        for each in (client, other):
            each.close()
        os.close(map_)

    # ---- one after the other ----

    def attached(self, type, function, words, fire, supported=True, needs=""):
        """(program, link) of one that is loaded and attached; None where it is not supported: the error must name what is needed."""
        answer = self.daemon.cli("program", "load", "file", harness.example("every_hook"), "--programs", f"{type}:{function}", "-o", "json")
        if answer.code == 0:
            program = json.loads(answer.out)["programs"][0]["record"]["program_id"]
            words = words(program) if callable(words) else [words[0], program, *words[1:]]
            answer = self.daemon.cli("link", "attach", *words, "-o", "json")
        if answer.code == 0:
            self.assertTrue(supported, f"{type} works where it was not expected")
            return program, json.loads(answer.out)["record"]
        self.note(type, answer.err.strip().splitlines()[0].replace("bpfman: error: ", ""))
        self.assertFalse(supported, answer)
        self.assertIn(needs, answer.err)
        return None

    def fireAll(self, rows, there):
        """Each once, though several programs may wait for the same; those of a link of its own with that."""
        done = set()
        for row in rows:
            if row[1] in there and row[3] not in done:
                row[3](there[row[1]][1])
                done.add(row[3])

    def each(self, rows):
        """All at once: attached, made to run, detached, made to run again."""
        self.seen, there = {}, {}
        for row in rows:
            with self.subTest(row[0]):
                made = self.attached(*row)
                if made:
                    there[row[1]] = made
        self.fireAll(rows, there)
        shown, counts = {each["id"]: each for each in harness.bpftool("link", "show")}, {}
        for type, function, *_ in rows:
            if function not in there:
                continue
            with self.subTest(type):
                program, link = there[function]
                counts[function] = self.runs(program)
                self.assertGreater(counts[function], 0)
                if type not in ("xdp", "tc"):   # whose link is the dispatcher's, or none
                    self.assertEqual(shown[link["kernel_link_id"]]["prog_id"], program)
                self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
                self.note(type, "yes")
        counts = {function: self.runs(there[function][0]) for _, function, *_ in rows if function in counts}
        self.fireAll([row for row in rows if row[0] != "iter"], there)   # an iterator runs only by its link
        for type, function, *_ in rows:
            if function in counts:
                self.assertEqual(self.runs(there[function][0]), counts[function], f"{type} runs after it was detached")
        for program in self.daemon.programs():
            self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.assertEqual(self.daemon.settled(), [])
        self.publish()

    def testCgroups(self):
        rows = [(f"cgroup_{kind}", kind + ("_" if kind.endswith("sockopt") or kind == "sysctl" else ""), ("cgroup", self.cgroup), self.inside)
                for kind in ("sock_create sock_release post_bind4 post_bind6 bind4 bind6 connect4 connect6 sendmsg4 sendmsg6 recvmsg4 recvmsg6 "
                             "getpeername4 getpeername6 getsockname4 getsockname6 getsockopt setsockopt sysctl device").split()]
        rows += [(f"cgroup_{kind}_unix", f"{kind}_unix", ("cgroup", self.cgroup), self.inside, harness.kernel() >= (6, 7), "Linux 6.7")
                 for kind in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname")]
        rows.append(("cgroup_skb", "cgroup_skb", ("cgroup", self.cgroup), self.inside))
        rows.append(("sockops", "sockops_", ("cgroup", self.cgroup), self.inside))
        rows.append(("lsm_cgroup", "lsm_cgroup", ("cgroup", self.cgroup), self.inside, TRAMPOLINES))
        self.each(rows)

    def testTracing(self):
        # A library of its own, so that nobody else is probed; on a file system that bpfman takes in the virtual machines too.
        copy = self.enterContext(tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".so"))
        with open("/proc/self/maps") as maps:
            shutil.copy(next(line.split()[-1] for line in maps if "/libc." in line or "/libc-" in line), copy.name)
        self.libc = ctypes.CDLL(copy.name)
        self.each([
            ("tracepoint", "tracepoint", ("tracepoint", "syscalls/sys_enter_getppid"), self.getppid),
            ("raw_tp", "raw_tp", ("raw_tp",), self.getppid),
            ("tp_btf", "tp_btf", ("tp_btf",), self.getppid),
            ("uprobe", "uprobe_", ("uprobe", copy.name, "-f", "getppid"), self.getppid),
            ("uretprobe", "uretprobe_", ("uprobe", copy.name, "-f", "getppid"), self.getppid),
            ("uprobe.multi", "uprobe_multi", ("uprobe.multi", copy.name, "getppid", "getpi*"), self.getppid, harness.kernel() >= (6, 6), "Linux 6.6"),
            ("uretprobe.multi", "uretprobe_multi", ("uprobe.multi", copy.name, "getppid"), self.getppid, harness.kernel() >= (6, 6), "Linux 6.6"),
            ("uprobe.session", "uprobe_session", ("uprobe.multi", copy.name, "getppid"), self.getppid, harness.kernel() >= (6, 13), "Linux 6.13"),
            ("raw_tp.w", "writable", ("raw_tp",), self.runATest),
            ("kprobe", "kprobe_", ("kprobe",), self.sleep, KPROBES, "CONFIG_KPROBES"),
            ("kretprobe", "kretprobe_", ("kprobe", "do_nanosleep"), self.sleep, KPROBES, "CONFIG_KPROBES"),
            ("kprobe.multi", "kprobe_multi", ("kprobe.multi",), self.sleep, KPROBES and harness.kernel() >= (6, 12), "CONFIG_FPROBE"),
            ("kretprobe.multi", "kretprobe_multi", ("kprobe.multi", "do_nanos*"), self.sleep, KPROBES and harness.kernel() >= (6, 12)),
            ("kprobe.session", "kprobe_session", ("kprobe.multi",), self.sleep, KPROBES and harness.kernel() >= (6, 12)),
            ("fentry", "fentry_", ("fentry",), self.sleep, TRAMPOLINES),
            ("fexit", "fexit_", ("fexit",), self.sleep, TRAMPOLINES),
            ("fmod_ret", "fmod_ret", ("fmod_ret",), self.openFile, TRAMPOLINES),
            ("lsm", "lsm", ("lsm",), self.openFile, TRAMPOLINES),
            ("lsm", "lsm_s", ("lsm",), self.openFile, TRAMPOLINES),   # sleepable
            ("perf_event", "event", ("perf_event", "cpu-clock", "--frequency", 100, "--cpu", 0), self.burn),
            ("iter", "iterator", ("iter",), self.readIterator),
        ])

    def readIterator(self, link):
        said = self.daemon.cli("link", "read", link["id"])
        self.assertEqual((said.code, set(said.out)), (0, {"x"}), said)

    def testNetwork(self):
        netkit = self.netkit()
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.each([
            ("xdp", "xdp_", ("xdp", "lan0", "-p", 10), self.packets),
            ("xdp", "xdp_frags", ("xdp", "lan0", "-p", 20), self.packets),
            ("tc", "tc_", ("tc", "lan0", "ingress", "-p", 10), self.packets),
            ("tcx", "tcx_", ("tcx", "lan0", "ingress", "-p", 10), self.packets, harness.kernel() >= (6, 6), "Linux 6.6"),
            ("netfilter", "netfilter_", ("netfilter", "ipv4", "output", "-p", 10), self.udp, harness.kernel() >= (6, 4), "Linux 6.4"),
            ("sk_lookup", "lookup", ("sk_lookup",), self.refusedConnection),
            ("flow_dissector", "dissector", ("flow_dissector",), self.rawPacket),
            ("netkit", "netkit_primary", ("netkit", netkit or "lo", "primary", "-p", 10), self.throughNetkit, bool(netkit), "needs Linux 6.7"),
        ])

    def netkit(self):
        """A pair of netkit devices, named to the kernel itself as older iproute2 does not know them; None: this kernel has none."""
        def attribute(kind, value):
            return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"nk-primary\0") + attribute(18, attribute(1, b"netkit\0"))
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as one:
            one.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)   # RTM_NEWLINK; request, ack, create, exclusive
            error = struct.unpack_from("=i", one.recv(4096), 16)[0]
        if error:
            self.assertIn(error, (-95,), "netkit")
            return None
        self.addCleanup(harness.run, "ip", "link", "del", "nk-primary")
        harness.run("ip", "addr", "add", "10.99.0.1/24", "dev", "nk-primary")
        for each in ("nk-primary", harness.run("sh", "-c", "ip -o link show type netkit 2>/dev/null || ip -o link show").stdout.split("nk-primary@")[1].split(":")[0]):
            harness.run("ip", "link", "set", each, "up")
        return "nk-primary"

    def throughNetkit(self, link=None):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", ("10.99.0.2", 9))

    def sockets(self, program):
        """The id of the sockmap, which no program refers to: it is listed all the same, as what it is."""
        maps = {each["name"]: each for each in self.daemon.json("program", "get", program)["status"]["maps"]}
        self.assertEqual({name: each.get("unused", False) for name, each in maps.items() if "." not in name}, {"runs": False, "sockets": True})
        self.assertIn(f'{maps["sockets"]["id"]} sockets sockmap, not used by this program', self.daemon.cli("program", "get", program).out)
        self.assertEqual(harness.bpftool("map", "show", "pinned", maps["sockets"]["pin_path"])["id"], maps["sockets"]["id"])
        return maps["sockets"]["id"]

    def testSockets(self):
        supported = harness.kernel() >= (6, 10)
        def attach(program):
            return ["sockmap", program, self.sockets(program)]
        def fire(link):
            self.connectedPair(int(link["details"]["name"].split()[1]))
        for row in (("sk_msg", "message"), ("sk_skb", "stream")):
            self.each([(*row, attach, fire, supported, "Linux 6.10")])

    def testAStreamParserAndItsVerdict(self):
        """Which need each other, and the same sockets."""
        self.seen, types = {}, ("sk_skb_parser", "sk_skb_verdict")
        answer = self.daemon.json("program", "load", "file", harness.example("every_hook"), "--programs", "sk_skb_parser:parser,sk_skb_verdict:verdict")
        programs = [each["record"]["program_id"] for each in answer["programs"]]
        sockets = self.sockets(programs[0])
        attached = [self.daemon.cli("link", "attach", "sockmap", program, sockets) for program in programs]
        if harness.kernel() >= (6, 10):
            self.connectedPair(sockets)
        for program, element, type, result in zip(programs, (0, 1), types, attached):
            if harness.kernel() >= (6, 10):
                self.assertEqual(result.code, 0, result)
                self.assertGreater(self.runs(program, element), 0)
            else:
                self.assertIn("needs Linux 6.10", result.err)
            self.note(type, "yes" if result.code == 0 else result.err.strip().replace("bpfman: error: ", ""))
        self.publish()



if __name__ == "__main__":
    harness.main()
