"""A program that somebody else loaded, handed over to bpfman: it is attached, ordered, listed and kept as one of bpfman's own, and whoever has
it besides goes on. What the kernel says of it decides; what is something else is refused, with the reason."""

import os
import signal
import threading
import time
import unittest

import harness
import network
import own_programs
from own_programs import DROP, HAS_FRAGS, PASS, SCHED_CLS, TCX_INGRESS

POLICY = """
[roles.lan]
base = "operator"
interfaces = ["lan*"]
namespaces = ["host"]

[[grant]]
users = [4001]
roles = ["lan"]

[[grant]]
users = [4002]
roles = ["viewer"]
"""


class Taking(unittest.TestCase):
    policy, config = POLICY, ""

    def setUp(self):
        self.wire = network.Wire("lan0")
        self.addCleanup(self.wire.remove)
        self.daemon = self.enterContext(harness.Daemon(policy=self.policy, config=self.config))

    def take(self, path, *more, **user):
        return self.daemon.json("program", "take", "--pinned", path, *more, **user)["record"]

    def bare(self, *how, **more):
        return own_programs.pinned(self, own_programs.loaded(*how, **more))

    def refused(self, words, *expected, **user):
        result = self.daemon.cli(*words, **user)
        self.assertEqual(result.code, 1, result)
        for each in expected:
            self.assertIn(each, result.err)

    def nothingIsLeft(self):
        self.assertEqual((self.daemon.settled(), self.daemon.programs(), self.daemon.links()), ([], [], []))
        self.assertEqual([pin for pin in self.daemon.pins() if pin.startswith("prog_") or pin.startswith("links/")], [])

    def unload(self, program):
        self.assertEqual(self.daemon.cli("program", "unload", program).code, 0)

    def order(self):
        chain, = self.daemon.dispatchers()
        return [each["program_id"] for each in chain["members"]]


class Taken(Taking):
    def each(self):
        """(example, its map, how it is taken, how it is attached, what makes it run 20 times)"""
        def packets():
            self.wire.send(20)

        def kills():
            for _ in range(20):
                os.kill(os.getpid(), 0)

        def sleeps():
            for _ in range(40):
                time.sleep(0.002)

        def opens():
            for _ in range(20):
                open("/etc/passwd").close()
        if os.path.exists("/sys/bus/event_source/devices/kprobe"):   # this project's machine refuses these; tests/vm runs them
            yield "taken_hooks", "runs", ("--type", "fentry", "--attach-to", "do_nanosleep"), ("fentry",), sleeps
            yield "taken_hooks", "runs", ("--type", "fexit", "--attach-to", "do_nanosleep"), ("fexit",), sleeps
            yield "taken_hooks", "runs", ("--type", "lsm", "--attach-to", "file_open"), ("lsm",), opens
            yield "taken_hooks", "runs", ("--type", "kprobe"), ("kprobe", "do_nanosleep"), sleeps
        if "BPFMAN_VM" in os.environ:                                # where the others take long, and ran here
            return
        yield "xdp_counter", "packets", (), ("xdp", "lan0", "-p", 10), packets
        yield "tc_counter", "packets", ("--type", "tc"), ("tc", "lan0", "ingress", "-p", 10), packets
        if harness.kernel() >= (6, 6):
            yield "tcx_counter", "packets", ("--type", "tcx"), ("tcx", "lan0", "ingress", "-p", 10), packets
        yield "tracepoint_counter", "hits", (), ("tracepoint", "syscalls/sys_enter_kill"), kills
        yield "raw_tp_counter", "calls", (), ("raw_tp", "sys_enter"), kills
        yield "tp_btf_counter", "switches", ("--type", "tp_btf", "--attach-to", "sched_switch"), ("tp_btf",), sleeps
        cgroup = os.path.join(harness.cgroup2(), f"bpfman-taken-{os.getpid()}")
        os.mkdir(cgroup)
        self.addCleanup(os.rmdir, cgroup)

        def sends():
            def enter():
                with open(os.path.join(cgroup, "cgroup.procs"), "w") as file:
                    file.write("0")
            code = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor i in range(20): s.sendto(b'x', ('127.0.0.1', 9))"
            harness.run("python3", "-c", code, preexec_fn=enter)
        yield "cgroup_counter", "packets", (), ("cgroup", cgroup, "egress"), sends

    def testRunsAsOneOfOursOverEveryDeathUntilItIsUnloaded(self):
        for name, counter, how, where, fire in self.each():
            with self.subTest(name=name, how=how):
                path, id = own_programs.example(self, name, f"taken_{where[0]}" if name == "taken_hooks" else None)
                counter = own_programs.mapOf(id, counter)
                record = self.take(path, *how)
                self.assertEqual((record["program_id"], record["load"]["source_path"], record["load"]["object_path"]), (id, path, None))
                os.unlink(path)                                  # bpfman's pins are all that holds it
                link = self.daemon.attach(where[0], id, *where[1:])

                def runs(times=20):
                    before = sum(harness.sums(counter).values())
                    fire()
                    return sum(harness.sums(counter).values()) - before >= times
                self.assertTrue(runs())
                shown = self.daemon.programs(), self.daemon.links()
                self.assertEqual((shown[0], [each["id"] for each in shown[1]]), ([id], [link["id"]]))
                for kind in ("worker", "frontend", "broker"):
                    if kind == "broker":
                        self.daemon.kill()
                        self.assertTrue(runs())
                        self.daemon.start()
                    else:
                        os.kill(self.daemon.pid(kind), signal.SIGKILL)
                        self.assertTrue(runs())
                        harness.eventually(lambda: self.daemon.cli("program", "list").code == 0)
                    self.assertEqual((self.daemon.programs(), self.daemon.links()), shown)
                    self.assertEqual(self.daemon.settled(), [])
                self.assertEqual(self.daemon.cli("link", "detach", link["id"]).code, 0)
                self.assertEqual(self.daemon.settled(), [])
                before = harness.sums(counter)
                fire()
                self.assertEqual(harness.sums(counter), before)
                self.unload(id)
                self.nothingIsLeft()
                self.assertTrue(harness.eventually(lambda: id not in [each["id"] for each in harness.bpftool("prog", "show")]))

    def testIsTakenOnceByWhoeverAsksAgain(self):
        """A client whose answer was lost asks again with the same request id, also after a death; another request, or user, is another one."""
        path = self.bare()
        os.chmod(path, 0o666)

        def asks(**user):
            words = (os.path.join(harness.BIN, "hostile-client"), "takes-again", self.daemon.runtime, path, "0")
            return dict(line.split(" ", 1) for line in harness.run(*words, **user).stdout.splitlines())
        for kind in (None, "frontend", "worker"):
            if kind:
                os.kill(self.daemon.pid(kind), signal.SIGKILL)
                harness.eventually(lambda: self.daemon.cli("program", "list").code == 0)
            said = asks()
            id, = self.daemon.programs()
            self.assertEqual((said["first"], said["again"]), (str(id), str(id)))
            self.assertIn(f"program {id} is bpfman's already", said["other"])
            self.assertEqual(self.daemon.settled(), [])
        self.assertIn(f"program {id} is bpfman's already", asks(**harness.user(4001))["first"])
        self.assertEqual(len([each for each in self.daemon.pins() if each == f"prog_{id}"]), 1)
        self.unload(id)
        self.nothingIsLeft()
        self.assertEqual(asks()["first"], str(id))     # what was undone is done again
        self.unload(id)
        self.nothingIsLeft()

    def testHasItsPlaceBesideThoseThatBpfmanLoaded(self):
        first, last = (self.daemon.load("xdp_mark", "xdp", "xdp_second", "--engine", "tailcall") for _ in range(2))
        path = self.bare(DROP)
        taken = self.take(path, "-m", "role=firewall", "-a", "shield")["program_id"]
        self.daemon.attach("xdp", last, "lan0", "-p", 30)
        self.daemon.attach("xdp", first, "lan0", "-p", 10)
        link = self.daemon.attach("xdp", taken, "lan0", "-p", 20)["id"]
        self.assertEqual(self.order(), [first, taken, last])
        self.wire.send(30)
        seen = [sum(cpu["packets"] for cpu in harness.sums(self.daemon.mapId(each, "marks")).values()) for each in (first, last)]
        self.assertEqual(seen, [30, 0])                          # it drops
        self.assertEqual(self.daemon.json("program", "list", "-m", "role=firewall", "--application", "shield")["programs"][0]["program_id"], taken)
        self.assertEqual(self.daemon.cli("link", "update", link, "-p", 40).code, 0)
        self.assertEqual(self.order(), [first, last, taken])
        self.assertEqual(self.daemon.cli("link", "pause", link).code, 0)
        self.assertEqual(self.daemon.cli("link", "resume", link).code, 0)
        self.assertEqual(self.daemon.cli("program", "unload", first, last, taken).code, 0)
        self.nothingIsLeft()
        self.assertEqual(harness.bpftool("prog", "show", "pinned", path)["id"], taken)   # its owner still has it

    def testIsTakenOnceHoweverManyAsk(self):
        path = self.bare()
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.daemon.cli("program", "take", "--pinned", path))) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(sorted(each.code for each in answers), [0, 1, 1, 1, 1, 1])
        id, = self.daemon.programs()
        self.assertTrue(all(f"program {id} is bpfman's already" in each.err for each in answers if each.code))
        self.refused(("program", "take", "--id", id), "is bpfman's already")
        self.assertEqual(self.daemon.settled(), [])
        self.unload(id)
        self.nothingIsLeft()
        self.assertEqual(self.take(path)["program_id"], id)      # and again
        loaded = self.daemon.load("xdp_counter", "xdp")
        self.refused(("program", "take", "--id", loaded), "is bpfman's already")
        dispatchers = {each["id"] for each in harness.bpftool("prog", "show") if each["name"] == "dump_programs" and each["uid"] == self.daemon.baseUid + 1}
        self.refused(("program", "take", "--type", "iter", "--attach-to", "bpf_prog", "--id", dispatchers.pop()), "is bpfman's already")
        self.unload(loaded)
        self.unload(id)
        self.nothingIsLeft()


class Refused(Taking):
    def testWhatIsNoProgramOrAnother(self):
        map_, xdp, cls = own_programs.pinned(self, own_programs.array()), self.bare(), self.bare(type=SCHED_CLS, attach=0)
        unnamed = self.bare(name=b"")
        tracing, _ = own_programs.example(self, "tp_btf_counter")
        for words, expected in (((map_, "--type", "xdp"), "is not a program"),
                                ((map_,), "that is not a program"),
                                ((xdp, "--type", "tracepoint"), "is of the kernel's type xdp; tracepoint programs are of type tracepoint"),
                                ((cls,), "the kernel does not tell which of these it is, say it with --type: tc, tcx, netkit"),
                                ((xdp, "--name", "other"), "is called bare, not other"),
                                ((unnamed,), "has no name in the kernel: give it one (--name)"),
                                ((tracing, "--type", "tp_btf"), "say what it is for"),
                                ((tracing, "--type", "tp_btf", "--attach-to", "sched_switsh"), "did you mean sched_switch?"),
                                ((tracing, "--type", "tp_btf", "--attach-to", "sys_enter"), "was not loaded for sys_enter"),
                                (("/sys/fs/bpf/nothing",), "No such file")):
            with self.subTest(words):
                self.refused(("program", "take", "--pinned", *words), expected)
        self.nothingIsLeft()
        self.assertEqual(self.take(unnamed, "--name", "a_name_of_more_than_15")["load"]["program_name"], "a_name_of_more_than_15")

    def testAnotherTypeThanItWasLoadedAsIsRefusedByTheKernelAtTheAttach(self):
        path, id = own_programs.example(self, "tp_btf_counter")
        self.refused(("program", "take", "--pinned", path, "--type", "fentry", "--attach-to", "sched_switch"), "this kernel has no function")
        bind = self.bare(1, type=18, attach=8)                   # cgroup_bind4
        taken = self.take(bind, "--type", "cgroup_connect4")["program_id"]
        self.refused(("link", "attach", "cgroup", taken, harness.cgroup2()), "nvalid argument")
        self.assertEqual(self.daemon.links(), [])
        self.unload(taken)
        self.nothingIsLeft()

    def testWhatNoProgramArrayBesideOursTakesIsSaidAndChangesNothing(self):
        ours = self.daemon.load("xdp_mark", "xdp", "xdp_second", "--engine", "tailcall")
        self.daemon.attach("xdp", ours, "lan0", "-p", 10)
        frags = self.take(self.bare(PASS, HAS_FRAGS))["program_id"]
        self.refused(("link", "attach", "xdp", frags, "lan0", "-p", 20), f"takes program {frags} on lan0 into no program array beside ours",
                     "xdp.frags", "BPF_XDP")
        self.assertEqual((self.order(), len(self.daemon.links())), ([ours], 1))
        classifier = self.take(self.bare(type=SCHED_CLS, attach=TCX_INGRESS), "--type", "tc")["program_id"]
        result = self.daemon.cli("link", "attach", "tc", classifier, "lan0", "ingress", "-p", 20)
        if result.code:                                          # kernels that compare the attach type of those in an array
            self.assertIn("another expected attach type than 0 (tcx takes it)", result.err)
        self.assertEqual(self.daemon.cli("program", "unload", ours, frags, classifier).code, 0)
        self.nothingIsLeft()

    def testWhatNeedsItsBytecodeOrItsMaps(self):
        path, id = own_programs.example(self, "xdp_counter")
        self.take(path)
        self.daemon.attach("xdp", id, "lan0", "-p", 10)
        neither = f"program {id} was loaded by somebody else and handed over: bpfman has neither its bytecode nor its maps"
        for words in (("program", "update", id, "--file", harness.example("xdp_counter")), ("program", "variables", id),
                      ("program", "set", id, "verdict=1"), ("program", "load", "file", harness.example("xdp_counter"), "--programs", "xdp:xdp_counter",
                                                            "--map-owner-id", id)):
            with self.subTest(words):
                self.refused(words, neither)
        self.assertEqual((self.daemon.programs(), len(self.daemon.links())), ([id], 1))
        self.assertEqual(self.daemon.json("program", "get", id)["status"]["maps"], [])
        self.unload(id)
        self.nothingIsLeft()

    def testThePolicyDecidesForWhomAsForALoad(self):
        xdp, (tracing, _) = self.bare(), own_programs.example(self, "raw_tp_counter")
        for each in (xdp, tracing):
            os.chmod(each, 0o666)
        self.refused(("program", "take", "--pinned", tracing), "permission denied", "raw_tp", **harness.user(4001))
        self.refused(("program", "take", "--pinned", xdp), "permission denied", **harness.user(4002))
        self.nothingIsLeft()
        id = self.take(xdp, **harness.user(4001))["program_id"]
        self.daemon.json("link", "attach", "xdp", id, "lan0", "-p", 10, **harness.user(4001))
        self.assertEqual(self.daemon.json("program", "get", id)["status"]["kernel"]["uid"], 4001)
        line = self.daemon.json("audit", "--action", "take", "--user", 4001)
        self.assertIn(str(id), str(line))
        self.assertEqual(self.daemon.cli("program", "unload", id, **harness.user(4001)).code, 0)
        self.nothingIsLeft()


class Ceiling(Taking):
    config = '[ceiling]\nprogram_types = ["xdp", "sched_cls"]\n'

    def testHoldsForWhatWasLoadedElsewhere(self):
        path, _ = own_programs.example(self, "tracepoint_counter")
        self.refused(("program", "take", "--pinned", path), "the host's ceiling does not allow programs of this one's type")
        self.nothingIsLeft()


if __name__ == "__main__":
    harness.main()
