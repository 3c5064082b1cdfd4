"""What hooks are attached to: only there they run; what is wrong about a target is said, and leaves nothing behind."""

import os
import socket
import subprocess
import tempfile
import time
import unittest

import harness
import network

KPROBES = os.path.exists("/sys/bus/event_source/devices/kprobe")
POLICY = """
[roles.network]
base = "operator"
classes = ["network"]
namespaces = ["own"]

[roles.observers]
base = "operator"
classes = ["observe"]

[[grant]]
users = [4001]
roles = ["network"]

[[grant]]
users = [4002]
roles = ["observers"]
"""


class HookTargets(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon(policy=POLICY))

    def load(self, type, function, attachTo="", **who):
        words = ("program", "load", "file", harness.example("every_hook"), "--programs", f"{type}:{function}{attachTo and ':' + attachTo}")
        return self.daemon.json(*words, **who)["programs"][0]["record"]["program_id"]

    def runs(self, program):
        return harness.sums(self.daemon.mapId(program, "runs"))[0]

    def refused(self, reason, *words, **who):
        result = self.daemon.cli(*words, **who)
        self.assertEqual(result.code, 1, words)
        self.assertIn(reason, result.err)

    def nothingIsLeft(self):
        self.assertEqual(self.daemon.links(), [])
        self.assertEqual(self.daemon.settled(), [])

    # ---- network namespaces ----

    def testANamespacesProgramsRunThereAndNowhereElse(self):
        inner = network.Namespace("inner")
        self.addCleanup(inner.remove)

        def talk():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket() as other:
                one.sendto(b"x", ("127.0.0.1", 9))
                other.connect_ex(("127.0.0.1", 1))
        lookup, filter_ = self.load("sk_lookup", "lookup"), self.load("netfilter", "netfilter_") if harness.kernel() >= (6, 4) else None
        links = [self.daemon.attach("sk_lookup", lookup, "-n", inner.path)]
        if filter_:
            links.append(self.daemon.attach("netfilter", filter_, "ipv4", "output", "-p", 5, "-n", inner.path))
        for link in links:
            self.assertEqual((link["details"]["netns"], link["details"]["nsid"]), (inner.path, os.stat(inner.path).st_ino))
        talk()
        self.assertEqual(self.runs(lookup), 0)
        network.inNamespace(inner.path, talk)
        for program in filter(None, (lookup, filter_)):
            self.assertGreater(self.runs(program), 0)
        inner.remove()   # the programs stay, their links are without effect and can be detached
        for link in links:
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.nothingIsLeft()

    def testOnlyANamespaceThatHeMayHave(self):
        lookup = self.load("sk_lookup", "lookup", **harness.user(4001))
        self.refused("not in the host's network namespace (namespaces: own)", "link", "attach", "sk_lookup", lookup, **harness.user(4001))
        self.refused("not class observe", "program", "load", "file", harness.example("every_hook"), "--programs", "perf_event:event", **harness.user(4001))
        self.refused("not class control", "program", "load", "file", harness.example("every_hook"), "--programs", "raw_tp.w:writable", **harness.user(4002))
        self.refused("is not a network namespace", "link", "attach", "sk_lookup", lookup, "-n", "/etc/passwd")
        self.nothingIsLeft()

    # ---- cgroups, in the kernel's own order ----

    def testAPlaceAmongACgroupsPrograms(self):
        path = os.path.join(harness.cgroup2(), f"bpfman-order-{os.getpid()}")
        os.mkdir(path)
        self.addCleanup(os.rmdir, path)
        programs = [self.load("cgroup_connect4", "connect4") for _ in range(4)]
        attach = lambda program, *where: self.daemon.cli("link", "attach", "cgroup", program, path, *where, "-o", "json")
        self.assertEqual(attach(programs[0]).code, 0)
        first = self.daemon.links()[0]["id"]
        tried = attach(programs[1], "--before", f"link:{first}")
        if tried.code:   # before Linux 6.17
            self.assertIn("Invalid argument", tried.err)
            self.assertLess(harness.kernel(), (6, 17))
            return self.assertEqual(len(self.daemon.links()), 1)
        for program, where in zip(programs[2:], (("--after", programs[1]), ("--before", programs[0]))):
            self.assertEqual(attach(program, *where).code, 0)
        shown = [each["id"] for each in harness.bpftool("cgroup", "show", path)]
        self.assertEqual(shown, [programs[1], programs[2], programs[3], programs[0]])
        self.refused("is not attached to", "link", "attach", "cgroup", self.load("cgroup_connect4", "connect4"), path, "--before", "link:77")
        self.refused("not several", "link", "attach", "cgroup", programs[0], path, "--before", f"link:{first}", "--after", f"link:{first}")
        for link in self.daemon.links():
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.nothingIsLeft()

    # ---- another program ----

    def testAProgramWatchesAnother(self):
        target = self.daemon.load("tcx_counter", "tcx")
        words = ("program", "load", "file", harness.example("every_hook"), "--programs")
        self.refused("has no global function \"nothing\"", *words, f"fexit:fexit_:{target}/nothing")
        self.refused("program 4294967 does not exist", *words, "fexit:fexit_:4294967")
        self.refused("named by its id", *words, f"fexit:fexit_:{target}x")
        self.refused("named by its id", *words, f"fexit:fexit_:{target + (1 << 32)}")
        self.refused("another id after a reboot", *words, f"fexit:fexit_:{target}", "--persistent")
        self.refused("only his own programs", *words, f"fexit:fexit_:{target}", **harness.user(4002))
        if not KPROBES:   # this project's machine refuses trampolines
            self.refused("Operation not permitted", *words, f"fexit:fexit_:{target}")
            return
        exits, entries = self.load("fexit", "fexit_", str(target)), self.load("fentry", "fentry_", f"{target}/tcx_counter")
        links = [self.daemon.attach("fexit", exits), self.daemon.attach("fentry", entries)]
        shown = {each["id"]: each for each in harness.bpftool("link", "show")}
        self.assertEqual([shown[each["kernel_link_id"]]["target_obj_id"] for each in links], [target, target])
        with tempfile.NamedTemporaryFile() as packet:
            packet.write(bytes(64))
            packet.flush()
            harness.run("bpftool", "prog", "run", "id", str(target), "data_in", packet.name, "repeat", "7")
        self.assertEqual([self.runs(exits), self.runs(entries)], [7, 7])
        for link in links:
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.nothingIsLeft()

    # ---- wrong ones ----

    def testTheFirstOfSeveralThatTheKernelTakes(self):
        """Where it has trampolines fentry, else where it has fprobes kprobe.multi, else the tracepoint: and that one runs."""
        words = ("--programs", "fentry:fentry_", "--or", "kprobe.multi:kprobe_multi", "--or", "tracepoint:tracepoint")
        answer = self.daemon.json("program", "load", "file", harness.example("every_hook"), *words)
        loaded, = answer["programs"]
        program, type = loaded["record"]["program_id"], loaded["record"]["load"]["program_type"]
        supported = {each["type"]: each["supported"] for each in self.daemon.json("host")["hooks"]}
        self.assertEqual(type, next(each for each in ("fentry", "kprobe.multi", "tracepoint") if supported[each]))
        self.daemon.attach(type, program, *(["syscalls/sys_enter_getppid"] if type == "tracepoint" else []))
        time.sleep(0.01)
        os.getppid()
        self.assertGreater(self.runs(program), 0)
        self.refused("none of the alternatives can be loaded: netfilter bind4: ", "program", "load", "file", harness.example("every_hook"),
                     "--programs", "netfilter:bind4", "--or", "xdp:no_such_program")
        self.refused("not class observe", "program", "load", "file", harness.example("every_hook"), "--programs", "xdp:xdp_", "--or",
                     "perf_event:event", **harness.user(4001))
        self.refused("each with its type", "program", "load", "file", harness.example("every_hook"), "--programs", "xdp:xdp_", "--or", "tc_")
        many = lambda count: ("program", "load", "file", harness.example("every_hook"), "--programs", "xdp:no_such", *["--or", "xdp:no_such"] * count)
        self.refused("none of the alternatives", *many(8))
        self.refused("at most 8 alternatives", *many(9))
        self.assertEqual(self.daemon.programs(), [program])
        self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)
        self.nothingIsLeft()

    def testASectionSaysTheTypeOfEachKind(self):
        expected = {"connect4": "cgroup_connect4", "sockops_": "sockops", "cgroup_skb": "cgroup_skb", "message": "sk_msg", "parser": "sk_skb_parser",
                    "lookup": "sk_lookup", "event": "perf_event", "iterator": "iter", "kprobe_multi": "kprobe.multi", "kretprobe_": "kretprobe",
                    "uprobe_": "uprobe", "raw_tp": "raw_tp", "writable": "raw_tp.w", "tcx_": "tcx", "device": "cgroup_device", "xdp_frags": "xdp"}
        for function, type in expected.items():
            loaded, = self.daemon.json("program", "load", "file", harness.example("every_hook"), "--programs", function)["programs"]
            self.assertEqual(loaded["record"]["load"]["program_type"], type, function)

    def testWhatDoesNotExistIsRefusedAtLoad(self):
        load = lambda what: ("program", "load", "file", harness.example("every_hook"), "--programs", what)
        for what, reason in (("fentry:fentry_:no_such_function", 'this kernel has no function "no_such_function"'),
                             ("lsm:lsm:no_such_hook", 'this kernel has no security hook "no_such_hook"'),
                             ("iter:iterator:nothing", 'this kernel has no iterator "nothing"'),
                             ("tp_btf:tp_btf:sys_entr", "did you mean sys_enter?"),
                             ("fentry:lsm", "implies lsm"), ("cgroup_bind4:connect4", "program type mismatch"),
                             ("sk_msg:stream", "program type mismatch")):
            self.refused(reason, *load(what))
        self.nothingIsLeft()

    def testWrongTargetsAreRefusedAndLeaveNothing(self):
        event, iterator = self.load("perf_event", "event"), self.load("iter", "iterator")
        kprobe, kretprobe, multi = self.load("kprobe", "kprobe_"), self.load("kretprobe", "kretprobe_"), self.load("kprobe.multi", "kprobe_multi")
        tcx = self.load("netkit", "netkit_primary")
        xdp = self.daemon.load("xdp_counter", "xdp")
        for words, reason in ((("perf_event", event, "cpu-clock"), "on which CPU, or in which process"),
                              (("perf_event", event, "cpu-clock", "--cpu", 4096), "count that event"),
                              (("perf_event", event, "cpu-clock", "--cpu", 0, "--frequency", 1 << 40), "count that event"),
                              (("perf_event", event, "cpu-clock", "--pid", 1 << 22), "process"),
                              (("iter", iterator, "--map", self.daemon.mapId(event, "runs")), "an iterator over task takes no map"),
                              (("kprobe", kretprobe, "do_nanosleep", "--offset", 4), "takes no offset"),
                              (("kprobe", kprobe, "a" * 200), "may have 127 characters"),
                              (("kprobe", kprobe, "no_such_function"), "it does not exist on this kernel" if KPROBES else "CONFIG_KPROBES"),
                              (("kprobe", kprobe, "../x"), "Invalid argument"),
                              (("kprobe", kprobe, "do_nanosleep", "--offset", 1 << 20), "offset 1048576 is outside of any function"),
                              *([] if KPROBES else [(("kprobe", kprobe, "do_nanosleep", "--offset", (1 << 20) - 1), "CONFIG_KPROBES")]),
                              (("kprobe", kprobe, "do_nanosleep", "--offset", (1 << 32) + 5), "is outside of any function"),
                              (("kprobe", event), f"program {event} is a perf_event program; the kprobe or kretprobe attach accepts kprobe or kretprobe"),
                              (("kprobe.multi", multi, "no_such_*"), "that can be probed matches no_such_*"),
                              (("kprobe.multi", multi, "no_such_function"), "has no such target"),
                              (("fentry", xdp), f"program {xdp} is a xdp program; the fentry"),
                              (("sockmap", xdp, 1), "is a xdp program"),
                              (("netkit", tcx, "lo", "primary", "-p", 5), "netkit")):
            self.refused(reason, "link", "attach", *words)
        self.nothingIsLeft()

    # ---- what the object says of its place ----

    def example(self, function, type):
        return self.daemon.load("section_places", type, function)

    def testASectionsBinaryFunctionAndOffsetAreTaken(self):
        """main() calls the function at its fourth byte, so that only a probe at that offset is passed."""
        binary = "/dev/shm/bpfman-section-places"
        code = 'asm(".globl probed\\n.type probed,@function\\nprobed: nop; nop; nop; nop; nop; ret\\n.size probed,.-probed");int main(){asm("call probed+4");}'
        self.addCleanup(os.unlink, binary)
        subprocess.run(["cc", "-x", "c", "-O0", "-mno-red-zone", "-o", binary, "-"], input=code, text=True, check=True)
        probe, nowhere = self.example("in_binary", "uprobe"), self.example("nowhere", "uprobe")
        link = self.daemon.attach("uprobe", probe)
        self.assertEqual((link["details"]["target"], link["details"]["fn_name"]), (binary, "probed"))
        harness.run(binary)
        self.assertEqual(self.runs(probe), 1)
        self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        for words, reason in (((nowhere,), f"the section of program {nowhere} names none"), ((nowhere, binary), "say where"),
                              ((probe, binary, "--fn-name", "nothing"), "has no function \"nothing\""),
                              ((probe, binary, "-f", "probed", "--offset", 6), "offset 6 is outside of /dev/shm/bpfman-section-places's function probed, which has 6"),
                              ((probe, "/nonexistent"), "/nonexistent"), ((probe, binary, "--offset", 1 << 40), "nvalid argument")):
            self.refused(reason, "link", "attach", "uprobe", *words)
        plain = self.daemon.attach("uprobe", probe, binary, "-f", "probed")    # what is said goes before
        harness.run(binary)
        self.assertEqual(self.runs(probe), 1)
        self.assertEqual(self.daemon.cli("link", "detach", plain["id"]).code, 0)
        if harness.kernel() >= (6, 6):
            link = self.daemon.attach("uprobe.multi", self.example("in_many", "uprobe.multi"))
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        self.nothingIsLeft()

    @unittest.skipUnless(KPROBES, "this kernel has no kprobes; tests/vm runs it")
    def testASectionsOffsetInAFunctionOfTheKernelIsTaken(self):
        if not os.path.exists("/sys/kernel/debug/kprobes"):
            harness.run("mount", "-t", "debugfs", "none", "/sys/kernel/debug")

        def probed():
            time.sleep(0.01)
            with open("/sys/kernel/debug/kprobes/list") as file:
                return {line.split()[2] for line in file}
        offset, probe, other = 5, self.example("in_kernel", "kprobe"), self.example("in_kernel_ibt", "kprobe")
        if self.daemon.cli("link", "attach", "kprobe", probe, "do_nanosleep+4").code == 0:   # its functions begin with endbr64
            self.assertEqual(self.daemon.cli("link", "detach", self.daemon.links()[0]["id"]).code, 0)
            offset, probe, other = 4, other, probe
        there, start = f"do_nanosleep+0x{offset}", "do_nanosleep+0x4" if offset == 4 else "do_nanosleep+0x0"
        for words, expected in (((), there), ((f"do_nanosleep+{offset}",), there), ((f"do_nanosleep+0x{offset}",), there),
                                (("do_nanosleep",), start), (("do_nanosleep", "--offset", offset), there)):
            before = self.runs(probe)
            link = self.daemon.attach("kprobe", probe, *words)
            self.assertEqual(probed(), {expected}, words)
            self.assertGreater(self.runs(probe), before)
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
            self.assertEqual(probed(), set())
        for words, reason in (((self.example("at_return", "kretprobe"),), "takes no offset"), ((probe, "do_nanosleep+x"), "FUNCTION+OFFSET"),
                              ((other,), "do_nanosleep: no instruction begins at this offset"), ((probe, "+4"), "FUNCTION+OFFSET"),
                              ((probe, f"do_nanosleep+{1 << 40}"), "outside of any function")):
            self.refused(reason, "link", "attach", "kprobe", *words)
        self.assertEqual(probed(), set())
        self.nothingIsLeft()

    def testATracepointThatHasLessThanIsRead(self):
        program = self.example("reads_on", "tracepoint")
        self.refused(f"program {program} reads more of its context than this tracepoint has: it is for another one, or for another kernel's; "
                     "/sys/kernel/tracing/events/syscalls/sys_enter_getppid/format", "link", "attach", "tracepoint", program, "syscalls/sys_enter_getppid")
        self.nothingIsLeft()

    def testWhatUsesACgroupsStorageIsInNoProgramArray(self):
        wire = network.Wire("lan0")
        self.addCleanup(wire.remove)
        for type, example, function, where in (("xdp", "xdp_counter", "stores", ("lan0",)), ("tc", "tc_counter", "stores_tc", ("lan0", "ingress"))):
            first = self.daemon.load(example, type, None, "--engine", "tailcall")
            odd = self.daemon.load("section_places", type, function, "--engine", "tailcall")
            link = self.daemon.attach(type, first, *where, "-p", 10)
            reason = f"program {odd} can't be a member of the chain on lan0: the kernel takes no program that uses a cgroup's storage (map storage)"
            self.refused(reason, "link", "attach", type, odd, *where, "-p", 20)
            self.assertEqual([each["id"] for each in self.daemon.links()], [link["id"]])
            wire.send(10)
            self.assertGreaterEqual(sum(harness.sums(self.daemon.mapId(first)).values()), 10)
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
            self.refused(reason, "link", "attach", type, odd, *where, "-p", 20)    # alone neither
            self.nothingIsLeft()
        if self.daemon.engine() == "libxdp":    # which needs no program array
            link = self.daemon.attach("xdp", self.daemon.load("section_places", "xdp", "stores"), "lan0", "-p", 20)
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
            self.nothingIsLeft()

    def testNamesOfFunctionsAreNotKeptAtAnyLength(self):
        probe = self.load("kprobe", "kprobe_")
        self.refused("may have 127 characters", "link", "attach", "kprobe", probe, "n" * 65000)
        self.refused("bytes, of at most 65536", "link", "attach", "kprobe", probe, "n" * 65536)
        self.nothingIsLeft()

    def testFunctionsAreNamedWithinTheirLimits(self):
        multi = self.load("kprobe.multi", "kprobe_multi")
        names = ["n" * 99] * 40 + ["m" * 96]   # with a comma between each, 4096 bytes
        self.refused("attach to nnn", "link", "attach", "kprobe.multi", multi, *names)
        self.refused("have 4097 bytes together, of at most 4096", "link", "attach", "kprobe.multi", multi, *names[:-1], "m" * 97)
        self.refused("17 patterns: at most 16", "link", "attach", "kprobe.multi", multi, *(f"n{i}*" for i in range(17)))
        self.refused("at most 4 stars", "link", "attach", "kprobe.multi", multi, "n*n*n*n*n*")
        self.refused("that can be probed matches", "link", "attach", "kprobe.multi", multi, "_q*q*q*q*", *(f"_q{i}*" for i in range(15)))
        if KPROBES:   # which has far more functions than that
            self.refused("at most 4096 in one link", "link", "attach", "kprobe.multi", multi, "*")
        self.nothingIsLeft()

    @unittest.skipUnless(harness.kernel() >= (6, 6), "uprobe.multi needs Linux 6.6")
    def testPlacesOfABinaryAreManyButLimited(self):
        directory = self.enterContext(tempfile.TemporaryDirectory(dir="/dev/shm"))
        source, binary = os.path.join(directory, "many.c"), os.path.join(directory, "many")
        with open(source, "w") as file:
            for i in range(2049):
                file.write(f"void f{i:04}(void) {{ }}\n")
            file.write("int main(void) { " + " ".join(f"f{i:04}();" for i in range(2048)) + " return 0; }\n")
        harness.run("cc", "-O0", "-o", binary, source)
        many = self.load("uprobe.multi", "uprobe_multi")
        self.refused("2049 places in the binary: 1 to 2048 in one link", "link", "attach", "uprobe.multi", many, binary, "f[0-9]*")
        self.refused("has no function that matches \"g*\"", "link", "attach", "uprobe.multi", many, binary, "f000?", "g*")
        self.refused("longer than 4096 bytes", "link", "attach", "uprobe.multi", many, binary, *(f"f{i:04}" for i in range(820)))
        named = self.daemon.attach("uprobe.multi", many, binary, *(f"f{i:04}" for i in range(100)))   # 599 bytes together
        self.assertEqual(self.daemon.cli("link", "detach", named["id"]).code, 0)
        link = self.daemon.attach("uprobe.multi", many, binary, "f0*", "f1*", "f20[0-3]*", "f204[0-7]")
        harness.run(binary)
        self.assertEqual(self.runs(many), 2048)
        self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        harness.run(binary)
        self.assertEqual(self.runs(many), 2048)
        self.nothingIsLeft()

    @unittest.skipUnless(harness.kernel() >= (6, 10), "sockmap links need Linux 6.10")
    def testASockmapOfHisOwnThatIsOne(self):
        message = self.load("sk_msg", "message", **harness.user(4001))
        self.refused("the program does not fit it", "link", "attach", "sockmap", message, self.daemon.mapId(message, "runs"))
        self.load("sk_msg", "message")
        pins = sorted(each for each in self.daemon.pins() if each.endswith("/sockets"))
        maps = [harness.bpftool("map", "show", "pinned", os.path.join(self.daemon.runtime, "fs", each))["id"] for each in pins]
        others = next(id for id, pin in zip(maps, pins) if pin != f"maps/{message}/sockets")
        self.refused("permission denied", "link", "attach", "sockmap", message, others, **harness.user(4001))
        self.nothingIsLeft()

    # ---- iterators ----

    def testAnIteratorIsReadAgainAndAgainByWhoMay(self):
        iterator = self.load("iter", "iterator", **harness.user(4002))
        link = self.daemon.json("link", "attach", "iter", iterator, **harness.user(4002))["record"]["id"]
        for _ in range(3):
            said = self.daemon.cli("link", "read", link, **harness.user(4002))
            self.assertEqual((said.code, set(said.out)), (0, {"x"}))
        self.refused("permission denied", "link", "read", link, **harness.user(4001))
        other = self.daemon.attach("raw_tp", self.daemon.load("raw_tp_counter", "raw_tp"), "sys_enter")["id"]
        self.refused("is not of an iterator", "link", "read", other)
        self.refused("not found", "link", "read", 77)
        for each in (link, other):
            self.assertEqual(self.daemon.cli("link", "detach", each).code, 0)
        self.nothingIsLeft()

    def testAnIteratorOverAMapChangesItAndIsForWhoMay(self):
        iterator = self.load("iter", "seven")
        map = self.daemon.mapId(iterator, "runs")
        self.refused("needs the map (--map ID)", "link", "attach", "iter", iterator)
        link = self.daemon.attach("iter", iterator, "--map", map)["id"]
        self.assertEqual(harness.sums(map), {0: 0, 1: 0})
        self.assertEqual(self.daemon.cli("link", "read", link).code, 0)
        self.assertEqual(harness.sums(map), {0: 7, 1: 7})
        his = self.load("iter", "seven", **harness.user(4002))   # whose map right is `read`
        self.refused("permission denied", "link", "attach", "iter", his, "--map", self.daemon.mapId(his, "runs"), **harness.user(4002))
        self.assertEqual(self.daemon.cli("link", "detach", link).code, 0)
        self.nothingIsLeft()


if __name__ == "__main__":
    harness.main()
