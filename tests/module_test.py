"""Functions, tracepoints and types of the kernel's modules, and functions of the kernel that programs call (kfuncs)."""

import os
import re
import subprocess
import unittest

import harness
import network

ENTERED, LEFT, TRACED, EXISTS, SIZE, OFFSET = range(6)    # of `seen` in examples/bpf/module_functions.bpf.c
LOOKED_UP, ERROR = 1, 2                                   # and in module_calls.bpf.c
ENOENT = 2
FUNCTIONS = re.compile(r"^\[(\d+)\] FUNC '(\w+)'", re.M)


def types(module):
    """bpftool's view of a module's types."""
    return harness.run("bpftool", "btf", "dump", "-B", "/sys/kernel/btf/vmlinux", "file", f"/sys/kernel/btf/{module}").stdout


class Kernel(unittest.TestCase):
    """What needs no modules: the kernel's own functions, and what is said of modules that are not there."""

    def setUp(self):
        self.daemon = self.enterContext(harness.Daemon())

    def refused(self, reason, *words):
        result = self.daemon.cli("program", "load", "file", *words)
        self.assertEqual(result.code, 1, words)
        self.assertIn(reason, result.err)
        self.assertEqual(self.daemon.settled(), [])

    def testFunctionsOfTheKernelAreCalled(self):
        if harness.kernel() < (6, 7):
            self.skipTest("its kernel has no function that a TCX program can call, and no TCX; later ones have")
        program = self.daemon.load("kernel_functions", "tcx", "calls")
        wire = network.Wire("near0")
        self.addCleanup(wire.remove)
        self.daemon.attach("tcx", program, "near0", "ingress", "-p", 50)
        wire.send(20)
        self.assertTrue(harness.eventually(lambda: harness.sums(self.daemon.mapId(program, "runs"))[0] >= 20))

    def testTheKernelItselfCanBeNamedToo(self):
        words = ("program", "load", "file", harness.example("module_functions"), "--programs", "tp_btf:traced:vmlinux:sched_switch")
        program = self.daemon.json(*words)["programs"][0]["record"]["program_id"]
        self.daemon.attach("tp_btf", program)
        self.assertTrue(harness.eventually(lambda: harness.sums(self.daemon.mapId(program, "seen"))[TRACED] > 0))

    def testAFunctionThatNobodyHasIsNamed(self):
        self.refused("bpfman_no_such_function", harness.example("missing_function"), "--programs", "tcx:calls")
        self.refused("if a module has it, load that first (modprobe)", harness.example("missing_function"), "--programs", "tcx:calls")

    def testWhatIsSaidOfATargetThatIsNotThere(self):
        functions = harness.example("module_functions")
        self.refused("module bpfman_nowhere is not loaded: load it first (modprobe bpfman_nowhere)",
                     functions, "--programs", "fentry:entered:bpfman_nowhere:some_function")
        self.refused("module bpfman_nowhere is not loaded: load it first (modprobe bpfman_nowhere); the kernel itself has that function: "
                     "leave bpfman_nowhere: out", functions, "--programs", "fexit:left:bpfman_nowhere:do_unlinkat")
        self.refused('module bpfman_nowhere is not loaded', functions, "--programs", "tp_btf:traced:bpfman_nowhere:some_point")
        self.refused('this kernel has no function "bpfman_no_such_function", nor has a module that is loaded',
                     functions, "--programs", "fentry:entered:bpfman_no_such_function")
        for odd in (":f", "a b:f", "../vmlinux:do_unlinkat"):
            self.refused("MODULE:NAME", functions, "--programs", f"fentry:entered:{odd}")
        result = self.daemon.cli("program", "load", "file", functions, "--programs", "fentry:entered:a:b:c")
        self.assertIn("expected [TYPE:]NAME[:ATTACH_FUNC]", result.err)


class Modules(unittest.TestCase):
    """With modules, which this project's machine has none of: tests/vm runs these."""

    def setUp(self):
        if "BPFMAN_VM" not in os.environ:
            self.skipTest("this kernel has no modules; tests/vm runs it")
        harness.run("modprobe", "-a", "veth", "9pnet")
        subprocess.run(["modprobe", "-r", "nf_conntrack"], stderr=subprocess.DEVNULL, check=False)
        self.daemon = self.enterContext(harness.Daemon())
        self.wire = network.Wire("near0")
        self.addCleanup(self.wire.remove)

    def load(self, *programs, name="module_functions", more=()):
        words = ("program", "load", "file", harness.example(name), "--programs", ",".join(programs), *more)
        return [each["record"]["program_id"] for each in self.daemon.json(*words)["programs"]]

    def seen(self, program):
        return harness.sums(self.daemon.mapId(program, "seen"))

    def refused(self, reason, *programs, name="module_functions"):
        result = self.daemon.cli("program", "load", "file", harness.example(name), "--programs", ",".join(programs))
        self.assertEqual(result.code, 1, programs)
        self.assertIn(reason, result.err)
        self.assertEqual(self.daemon.settled(), [])

    def testAModulesFunctionsAndTracepointsAreWatched(self):
        """By MODULE:FUNCTION and by the function alone, of the section and of the request, in one load."""
        entered, left, traced = self.load("fentry:entered", "fexit:left", "tp_btf:traced")
        said = {each["id"]: each for each in harness.bpftool("prog", "show")}
        number = {name: int(id) for id, name in FUNCTIONS.findall(types("veth"))}["veth_xmit"]
        links = [self.daemon.attach(type, program) for type, program in (("fentry", entered), ("fexit", left), ("tp_btf", traced))]
        for program in (entered, left, traced):
            self.assertIn(program, said)
        shown = {each["prog_id"]: each for each in harness.bpftool("link", "show")}
        for program in (entered, left):
            self.assertEqual(shown[program]["target_btf_id"], number, shown[program])
        self.wire.send(20)
        os.path.exists("/bpfman-asked-of-9p")   # the root file system
        self.assertGreaterEqual(self.seen(entered)[ENTERED], 20)
        self.assertGreaterEqual(self.seen(entered)[LEFT], 20)
        self.assertGreaterEqual(self.seen(entered)[TRACED], 1)
        for link in links:
            self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
        before = self.seen(entered)
        self.wire.send(20)
        self.assertEqual(self.seen(entered), before)
        again, = self.load("fexit:left:veth:veth_xmit")
        self.assertEqual(self.daemon.json("program", "get", again)["record"]["load"]["attach_func"], "veth:veth_xmit")

    def testTypesThatOnlyAModuleHasAreFittedTo(self):
        fitted, = self.load("fentry:fitted")
        self.daemon.attach("fentry", fitted)
        self.wire.send(1)
        seen, text = self.seen(fitted), types("veth")
        size, members = re.search(r"STRUCT 'veth_priv' size=(\d+).*?\n((?:\t.*\n)+)", text).groups()
        offset = re.search(r"'requested_headroom' type_id=\d+ bits_offset=(\d+)", members)[1]
        self.assertEqual((seen[EXISTS], seen[SIZE], seen[OFFSET]), (1, int(size), int(offset) // 8))

    def testAModulesFunctionsAreCalled(self):
        self.refused("'bpf_ct_release': not found in kernel or module BTFs; if a module has it, load that first (modprobe)", "xdp:looks_up",
                     name="module_calls")
        harness.run("modprobe", "nf_conntrack")
        looks, = self.load("xdp:looks_up", name="module_calls")
        self.daemon.attach("xdp", looks, "near0", "-p", 50)
        self.wire.send(20)
        seen = self.seen(looks)
        self.assertGreaterEqual(seen[LOOKED_UP], 20)
        self.assertEqual(seen[ERROR], ENOENT, "asked for a connection that there is none of")
        # Of two modules, in one load: the function that it watches is another's than those that it calls.
        entered, both = self.load("fentry:entered", "xdp:looks_up", name="module_calls")
        self.daemon.attach("fentry", entered)
        self.daemon.attach("xdp", both, "near0", "-p", 60)
        self.wire.send(20)
        seen = self.seen(both)
        self.assertGreaterEqual(seen[ENTERED], 20)
        self.assertGreaterEqual(seen[LOOKED_UP], 20)
        self.assertEqual(self.daemon.discrepancies(), [])

    def testWhatIsSaidOfATargetThatIsNotThere(self):
        self.refused('module veth has no function "veth_nothing"', "fentry:entered:veth:veth_nothing")
        self.refused('module veth has no function "do_unlinkat"; the kernel itself has that function', "fentry:entered:veth:do_unlinkat")
        self.refused("module nf_conntrack is not loaded: load it first (modprobe nf_conntrack)", "fentry:entered:nf_conntrack:nf_conntrack_in")
        self.refused('module veth has no tracepoint "nothing"', "tp_btf:traced:veth:nothing")
        harness.run("modprobe", "nf_conntrack")
        two = {name: set(name for _, name in FUNCTIONS.findall(types(name))) for name in ("nf_defrag_ipv4", "nf_defrag_ipv6")}
        function, *_ = [each for each in two["nf_defrag_ipv4"] & two["nf_defrag_ipv6"] if "defrag" in each]    # none of the kernel's own
        self.refused(f"function {function} is in the modules nf_defrag_ipv4 and nf_defrag_ipv6: say in which (nf_defrag_ipv4:{function})",
                     f"fentry:entered:{function}")

    def testAPersistentOneComesBackWithItsModule(self):
        entered, = self.load("fentry:entered", more=("--persistent",))
        self.daemon.attach("fentry", entered)
        self.daemon.stop()
        self.daemon.start()
        self.wire.send(20)
        self.assertGreaterEqual(self.seen(self.daemon.programs()[0])[ENTERED], 20)


if __name__ == "__main__":
    harness.main()
